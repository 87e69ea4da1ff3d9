"""The rich forms of networks, reports, evaluations and feature maps in a notebook: HTML and text.

Uses interop, diagram, view, training and what is below; `cnnspec.display` looks its functions up by name.
"""
