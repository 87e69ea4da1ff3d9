"""What people and programs look at: tables, and the JSON of a check.

Uses language, graph and what is below; imports no arrays.
"""
