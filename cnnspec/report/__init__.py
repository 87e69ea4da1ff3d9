"""Reports: one HTML file about a network, its values for an input and the run that trained it.

The modules here collect data, `page` turns them into HTML, and `write` puts both together. Uses interop, diagram, view,
training, runtime, data, graph and what is below; imports no backend.
"""
