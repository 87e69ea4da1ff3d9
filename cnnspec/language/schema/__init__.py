"""The JSON Schema (draft 7) of a spec, derived from the classes of layers and settings, for editors and other tools.

Uses the layers, the graph and the rest of the language; `check` does not use it.
"""
