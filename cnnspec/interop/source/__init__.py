"""Networks as source code of PyTorch and of Keras.

Uses structure, weights, graph and what is below.
"""
