"""Diagrams: a picture of a network as SVG, as PNG, and as text for a terminal.

Uses view, graph, layers and the ground floor; imports neither arrays nor, but for PNG, a library of images.
"""
