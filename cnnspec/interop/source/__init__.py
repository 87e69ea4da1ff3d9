"""Networks as source code of PyTorch.

Uses runtime, weights, graph and what is below.
"""
