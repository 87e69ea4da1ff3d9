"""ONNX models as networks.

Uses language, graph and what is below.
"""
