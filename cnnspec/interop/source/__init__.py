"""Networks as source code of PyTorch and of Keras.

Uses runtime, weights, graph and what is below.
"""
