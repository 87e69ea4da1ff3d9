"""What layers with a sliding window share: the fault of one that does not fit."""

from __future__ import annotations

from cnnspec.geometry import Axis
from cnnspec.layers.base import ShapeError


def does_not_fit(h: Axis, w: Axis) -> ShapeError:
    """The fault of a window that has no place, with what would make it fit."""
    bad = [(name, axis) for name, axis in (("height", h), ("width", w)) if axis.out < 1]
    padded = "no padding" if not (h.p or w.p) else f"padding {h.p}×{w.p} in total"
    dilated = "" if (h.dilation, w.dilation) == (1, 1) else " (dilated)"
    largest = min((axis.n + axis.p - 1) // axis.dilation + 1 for _, axis in bad)
    needed = [max(0, axis.k - axis.n) for axis in (h, w)]
    total = str(needed[0]) if needed[0] == needed[1] else f"[{needed[0]}, {needed[1]}]"
    return ShapeError(
        "kernel-too-large",
        "window does not fit its input",
        field="kernel",
        label=f"{h.k}×{w.k} window{dilated}, {h.n}×{w.n} input, {padded}",
        notes=tuple(f"{name}: {axis.formula()}" for name, axis in bad),
        remedies=(f"a kernel of at most {largest}", f"`padding: same` (or {total} in total)"),
        larger_input=True,
    )
