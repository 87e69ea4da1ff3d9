"""Training: the loop, its checkpoints, the folder of a run, and evaluation.

Uses runtime, data, language and what is below.
"""
