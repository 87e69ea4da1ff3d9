"""Lints of windows: what they leave out, and padding that is not the same on both sides."""

from __future__ import annotations

from cnnspec.graph.graph import Node
from cnnspec.language.lints.subject import Subject
from cnnspec.layers.geometry import AXES, effective_kernel
from cnnspec.layers.window import unread_at_the_end

_LINES = {"height": "row", "width": "column", "depth": "slice", "length": "position"}
"""What a position along an axis is called."""


def unread_border(subject: Subject, node: Node) -> None:
    """Note rows and columns at the end that no window reads."""
    if not node.windows or any(effective_kernel(w.kernel, w.dilation) < w.stride for w in node.windows):
        return  # windows with gaps between them leave out others, too
    sizes = node.in_shapes[0][1:]
    counts = unread_at_the_end(node.layer, node.windows, sizes)
    if not any(counts):
        return
    axes = zip(AXES[len(sizes)], counts, sizes, strict=True)
    parts = [f"the last {f'{n} {_LINES[axis]}s' if n > 1 else _LINES[axis]} of {size}" for axis, n, size in axes if n]
    message = f"no window of `{node.name}` reads {' and '.join(parts)}"
    subject.report(
        "note", "unread-border", message, node, help="`cnnspec check --sizes` lists the sizes that are read whole"
    )


def uneven_padding(subject: Subject, node: Node) -> None:
    """Note `padding: same` that is not the same on both sides."""
    if getattr(node.layer, "padding", None) != "same":
        return
    uneven = [w for w in node.windows if w.before != w.after]
    if uneven:
        w = uneven[0]
        message = f"`padding: same` of `{node.name}` is {w.before} before and {w.after} behind: its kernel is even"
        remedy = "an odd kernel is centred; frameworks disagree about which side the odd row is on"
        subject.report("note", "uneven-padding", message, node, field="padding", help=remedy)
