"""Views of a network: tables, and the JSON form of a check.

Uses language, graph and what is below; imports no arrays.
"""
