"""What layers with a sliding window share: the fault of one that does not fit, the receptive field, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from cnnspec.layers.axes import along_axes
from cnnspec.layers.base import Fields, Inferred, Layer, Shape, ShapeError
from cnnspec.layers.geometry import AXES, Axis, Pads, TransposedAxis, Window, effective_kernel, span, split_total
from cnnspec.layers.padding import EachSide, Padding, Total
from cnnspec.wording import format_shape, noun


def slide(seen: Fields, inferred: Inferred) -> Fields:
    """Return the receptive field behind a sliding window."""
    pairs = zip(seen, inferred.windows, strict=True)
    return tuple(field.slide(window.span, window.stride, window.out) for field, window in pairs)


def does_not_fit(axes: Sequence[Axis]) -> ShapeError:
    """Return the error of a window that has no position, with what would make it fit."""
    bad = [(name, axis) for name, axis in zip(AXES[len(axes)], axes, strict=True) if axis.out < 1]
    total = format_shape([axis.p for axis in axes])
    padded = f"padding {total} in total" if any(axis.p for axis in axes) else "no padding"
    dilated = " (dilated)" if any(axis.dilation > 1 for axis in axes) else ""
    largest = min(axis.largest_kernel for _, axis in bad)
    across = f" in {bad[0][0]}" if len(bad) == 1 and len({axis.kernel for axis in axes}) > 1 else ""
    spans, sizes = format_shape([axis.k for axis in axes]), format_shape([axis.n for axis in axes])
    fit = (
        f"{spans} window{dilated}, {sizes} input" if len(axes) > 1 else f"window of {spans}{dilated}, input of {sizes}"
    )
    return ShapeError(
        "kernel-too-large",
        "`{name}` window does not fit its input",
        field="kernel",
        label=f"{fit}, {padded}",
        notes=tuple(f"{name}: {axis.formula()}" for name, axis in bad),
        remedies=(f"a kernel of at most {largest}{across}",),
        larger_input=True,
    )


def check_border(mode: str, axes: Sequence[Axis], shape: Shape) -> None:
    """Raise ShapeError where a border that copies numbers of the input [c, ...] has to copy more than there are."""
    less = _FEWER.get(mode)
    if less is None or all(max(axis.before, axis.after) <= axis.n - less for axis in axes):
        return
    pads = Pads(tuple((axis.before, axis.after) for axis in axes))
    most = [f"{axis.n - less} in {name}" for axis, name in zip(axes, AXES[len(axes)], strict=True)]
    raise ShapeError(
        "size-too-large",
        f"a {'mirror image' if mode == 'reflect' else 'circular border'} cannot be wider than the {noun(shape)}",
        field="padding",
        label=f"pads {pads}, of a {format_shape(shape[1:])} {noun(shape)}",
        remedies=(f"at most {' and '.join(most)} on each side",),
        larger_input=True,
    )


def covered_with_border(mode: str, window: Window, position: int, n: int) -> range:
    """Return the elements of the input, of n, that a window reads where its border repeats them, first to last."""
    places = [window.element(position, tap) for tap in range(window.kernel)]
    last = n - 1
    match mode:
        case "reflect":
            found = [last - abs(last - abs(i)) for i in places]
        case "circular":
            found = [i % n for i in places]
        case "edge":
            found = [min(max(i, 0), last) for i in places]
        case _:
            return window.covered(position, n)
    return span(found)


_FEWER = {"reflect": 1, "circular": 0}
"""How many numbers of an axis a border cannot copy: a mirror image leaves out the outermost."""


class PerSide(NamedTuple):
    """A total padding that is what other frameworks would write for each side."""

    written: str
    same: bool
    """Whether that many on each side is `same`, too."""
    sides: Pads
    """What the total is on each side."""


def looks_per_side(layer: Layer, rank: int) -> PerSide | None:
    """Return the padding where a total is what other frameworks would write for each side.

    `rank` is the number of spatial axes; sizes that are written for another number are not compared.
    """
    if not _pads_a_window(type(layer)):
        return None
    padding: Any = getattr(layer, "padding")  # noqa: B009
    if not isinstance(padding, Total):
        return None
    try:
        kernel, dilation = (along_axes(getattr(layer, name, 1), rank, name) for name in ("kernel", "dilation"))
        pads = along_axes(padding.sizes, rank, "padding")
    except ShapeError:
        return None
    spans = [effective_kernel(k, d) for k, d in zip(kernel, dilation, strict=True)]
    axes = [*zip(spans, pads, strict=True)]
    if (extra := getattr(layer, "output_padding", None)) is not None:  # a transposed convolution
        strides, added = (along_axes(sizes, rank, "stride") for sizes in (getattr(layer, "stride", 1), extra))
        ones = [TransposedAxis(1, k, s, p, p, extra=e) for (k, p), s, e in zip(axes, strides, added, strict=True)]
        if not any(pads) or any(axis.out != axis.stride for axis in ones):
            return None  # that many on each side would not give n·s
        same = not any(added)
    elif not _is_half_a_kernel(axes) or _halves_evenly(layer, axes, rank):
        return None
    else:
        same = all(2 * p == k - 1 for k, p in axes)
    written = str(pads[0]) if len(set(pads)) == 1 else str(list(pads))
    return PerSide(written, same, Pads(tuple(split_total(p) for p in pads)))


def _is_half_a_kernel(axes: Sequence[tuple[int, int]]) -> bool:
    """Return whether kernels and paddings are those that frameworks with a padding for each side go with."""
    return any(k >= 3 and p >= 1 for k, p in axes) and all(p <= k // 2 for k, p in axes)


def _halves_evenly(layer: Layer, axes: Sequence[tuple[int, int]], rank: int) -> bool:
    """Return whether the total is that which makes n/s of n along each axis: k − s, of an even kernel."""
    strides = along_axes(getattr(layer, "stride", None) or 1, rank, "stride")
    return all(s > 1 and k % 2 == 0 and p == k - s for (k, p), s in zip(axes, strides, strict=True))


@cache  # pydantic makes the look-up of fields slower than a whole shape rule
def _pads_a_window(cls: type[Layer]) -> bool:
    return {"padding", "kernel"} <= cls.model_fields.keys()


def explain_padding(layer: Layer, windows: Sequence[Window]) -> str:
    """Return how the padding of a layer with a window comes about, "" for one without padding."""
    if not _pads_a_window(type(layer)):
        return ""
    padding: Padding = getattr(layer, "padding")  # noqa: B009
    shown = dict.fromkeys(_split(padding, window, cuts=hasattr(layer, "output_padding")) for window in windows)
    return "; ".join(shown)


def _split(padding: Padding, window: Window, *, cuts: bool) -> str:
    total = window.before + window.after
    halves = f"⌈p/2⌉ = {window.before} before and ⌊p/2⌋ = {window.after} after"
    match padding:
        case "valid":
            return "none (`valid`)"
        case "same" if cuts:
            return f"`same`: k − s = {window.span} − {window.stride} is cut, so that out = n · s: p = {total}"
        case "same":
            return f"`same`: p = k − 1 = {total} in all, {halves}"
        case "same_upper" | "same_lower":
            odd = "after" if padding == "same_upper" else "before"
            return f"`{padding}`: p = {total} in all, the least for ⌈n / s⌉ positions, an odd one {odd}"
        case EachSide():
            return f"{window.before} on each side: p = {total} in all"
        case Total():
            return f"p = {total} in all, {halves}" if total else "none"
    return f"p = {window.before} + {window.after} = {total} in all"


def unread_at_the_end(layer: Layer, windows: Sequence[Window], sizes: Sequence[int]) -> tuple[int, ...]:
    """Return how many elements at the end of each axis no window reads: their number is not a whole number of strides.

    What lies between the windows everywhere, as of a 1×1 window with a stride of 2, does not count, nor does what a
    `crop` or a `slice` leaves out: nothing is returned for layers that have no padded window.
    """
    if not _pads_a_window(type(layer)) or hasattr(layer, "output_padding"):
        return ()
    return tuple(map(_unread, windows, sizes))


def _unread(window: Window, n: int) -> int:
    rest = n - 1 - window.element(window.out - 1, window.kernel - 1)
    gap = max(0, window.stride - window.span)
    return rest if rest > gap else 0
