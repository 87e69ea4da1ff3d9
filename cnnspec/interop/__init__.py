"""Other formats: networks and weights in and out of ONNX, PyTorch modules and source code.

Uses runtime, weights, language, graph and what is below. Libraries of the formats are imported when they are used.
"""
