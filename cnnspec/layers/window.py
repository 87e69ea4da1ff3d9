"""What layers with a sliding window share: the fault of one that does not fit."""

from __future__ import annotations

from cnnspec.layers.base import Layer, ShapeError
from cnnspec.layers.geometry import Axis, Total, reach, split_total


def does_not_fit(h: Axis, w: Axis) -> ShapeError:
    """The fault of a window that has no place, with what would make it fit."""
    bad = [(name, axis) for name, axis in (("height", h), ("width", w)) if axis.out < 1]
    padded = "no padding" if not (h.p or w.p) else f"padding {h.p}×{w.p} in total"
    dilated = "" if (h.dilation, w.dilation) == (1, 1) else " (dilated)"
    largest = min(axis.largest_kernel for _, axis in bad)
    across = f" in {bad[0][0]}" if len(bad) == 1 and h.kernel != w.kernel else ""
    needed = [max(0, axis.k - axis.n) for axis in (h, w)]
    total = str(needed[0]) if needed[0] == needed[1] else f"[{needed[0]}, {needed[1]}]"
    return ShapeError(
        "kernel-too-large",
        "`{name}` window does not fit its input",
        field="kernel",
        label=f"{h.k}×{w.k} window{dilated}, {h.n}×{w.n} input, {padded}",
        notes=tuple(f"{name}: {axis.formula()}" for name, axis in bad),
        remedies=(f"a kernel of at most {largest}{across}", f"`padding: same` (or {total} in total)"),
        larger_input=True,
    )


def looks_per_side(layer: Layer) -> tuple[str, str] | None:
    """A message and a remedy, where a total padding is what other frameworks would write for each side."""
    padding = getattr(layer, "padding", None)
    kernel = getattr(layer, "kernel", None)
    if not isinstance(padding, Total) or kernel is None or layer.kind == "conv_transpose":
        return None
    dilation = getattr(layer, "dilation", (1, 1))
    spans = [reach(k, d) for k, d in zip(kernel, dilation, strict=True)]
    axes = [*zip(spans, padding, strict=True)]
    if not any(k >= 3 and p >= 1 for k, p in axes) or any(p > k // 2 for k, p in axes):
        return None
    square = padding.height == padding.width
    written = str(padding.height) if square else str(list(padding))
    same = all(2 * p == k - 1 for k, p in zip(spans, padding, strict=True))
    top, bottom = split_total(padding.height)
    left, right = split_total(padding.width)
    message = f"`padding: {written}` is {top} on top, {bottom} below, {left} left and {right} right"
    remedy = (
        f"for {written} on each side write `padding: {{each_side: {written}}}`"
        + (" or `padding: same`" if same else "")
        + f"\nif this is meant, `padding: {{top: {top}, bottom: {bottom}, left: {left}, right: {right}}}` says so"
    )
    return message, remedy
