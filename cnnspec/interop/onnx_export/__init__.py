"""Networks as ONNX models.

Uses runtime, weights, language, graph and what is below.
"""
