"""Backends and models: build a model of a graph and its weights on a backend.

Uses weights, graph and what is below; imports no backend: those are found by entry point.
"""
