"""Views: tables, JSON and pictures in a terminal, of a check, a plan, a training and feature maps.

Uses training, language, graph and what is below; what `check` shows imports no arrays.
"""
