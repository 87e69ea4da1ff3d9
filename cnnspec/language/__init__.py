"""From YAML text to a checked graph, and from a graph back to text.

Uses graph, layers and the ground floor; imports no arrays, so that `check` starts without NumPy.
"""
