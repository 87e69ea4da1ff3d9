"""Borders as nodes of an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.emitter import Emitter


def padded(e: Emitter, x: str, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> str:
    """Append a border of one value around the spatial axes, and return the name of the output."""
    pads = e.numbers([0, 0, *before, 0, 0, *after])
    return e.add("Pad", [x, pads, e.constant(value)] if value else [x, pads])


def bordered(e: Emitter, node: Node, x: str, mode: str, value: float = 0.0) -> str:
    """Append the border of a node with windows, by its mode, and return the name of the output."""
    before, after = [w.before for w in node.windows], [w.after for w in node.windows]
    if mode in ("constant", "zeros"):
        return padded(e, x, before, after, value)
    if mode != "circular":
        return e.add("Pad", [x, e.numbers([0, 0, *before, 0, 0, *after])], mode=mode)
    if e.since(19):
        return e.add("Pad", [x, e.numbers([0, 0, *before, 0, 0, *after])], mode="wrap")
    for axis, (first, last, n) in enumerate(zip(before, after, node.in_shapes[0][1:], strict=True), 2):
        parts = [(n - first, n), (0, n), (0, last)]
        pieces = [
            x if (start, end) == (0, n) else cut(e, x, [start], [end], [axis]) for start, end in parts if end > start
        ]
        x = pieces[0] if len(pieces) == 1 else e.add("Concat", pieces, axis=axis)
    return x


def cut(
    e: Emitter, x: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int] = ()
) -> str:
    """Append a slice [start, end) by a step along each of the axes, and return the name of the output."""
    by = [e.numbers(steps)] if any(step != 1 for step in steps) else []
    return e.add("Slice", [x, e.numbers(starts), e.numbers(ends), e.numbers(axes), *by])
