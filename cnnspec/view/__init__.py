"""Views: the tables and the JSON form of a check and of a plan.

Uses language, graph and what is below, and `plan` also runtime; but for that it imports no arrays.
"""
