"""The structure of a network: what repeats in a graph, as blocks with parameters and repeats.

Uses language, graph and what is below.
"""
