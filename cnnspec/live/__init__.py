"""The live page of a spec on the loopback interface: diagnostics, diagram, feature maps and curves of a training.

Uses diagram, training, runtime and what is below. `session` knows what is shown and works in threads of its own,
`board` holds it, `app` hands it out over HTTP; `serve` is the entry.
"""
