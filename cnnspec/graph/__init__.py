"""The intermediate representation: a frozen graph of layers, its costs, and the settings of a spec.

Uses the layers and the ground floor; knows no YAML, no arrays and no backend.
"""
