"""The common part of imports: tensors of a foreign graph as layers, whatever the order and grouping of their axes.

Uses language, weights, graph and what is below; knows no format.
"""
