"""A backend turns a graph and its weights into a model that computes.

Uses weights, graph and what is below; imports no backend: those are found by entry point.
"""
