"""The arrays of a network: drawn from a seed, read from files, converted from other programs.

Uses graph, layers and the ground floor; imports NumPy, and no backend.
"""
