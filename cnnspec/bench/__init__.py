"""Benchmarks: backends beside PyTorch and ONNX Runtime, each in a process of its own, in interleaved rounds.

Uses view, testing, runtime, weights, data, graph and what is below; imports no backend: those run in worker processes.
"""
