"""Parts of tensors, borders around them, and sizes that are left open, as foreign operations have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.importer.operations import joined, padding, shifted
from cnnspec.interop.importer.view import BATCH
from cnnspec.layers.geometry import MOST_SIZES
from cnnspec.layers.shape import Pad, Slice

MOST_RUNS = 8
"""How many stretches of an axis are put together; a longer list of indices is a table, not a network."""


def filled(net: Network, x: Value, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes with the one that is left in place of -1."""
    total = math.prod(x.shape)
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        if not known or total % known:
            raise Unsupported(f"a reshape of {net.described(x)} to {sizes} leaves no whole size")
        sizes = [total // known if n == -1 else n for n in sizes]
    if math.prod(sizes) != total:
        # A model that was exported for one size of the batch has that size in its shapes.
        raise Unsupported(
            f"{net.described(x)} has no {net.described_shape(sizes)}: the size of the batch is written in it"
        )
    return tuple(sizes)


def cut(net: Network, x: Value, axis: int, first: int, end: int, step: int = 1) -> Value:
    """Return a part of a tensor along an axis."""
    if (first, end, step) == (0, x.shape[axis], 1):
        return x
    if x.view.holds_batch(axis):
        raise Unsupported("it cuts the batch")
    if end <= first:
        raise Unsupported("nothing is left")
    if len(x.view.factors) != 1 + len(net.node(x).shape):
        x = net.plain_like(x)
    x, (name,) = net.along(x, axis)
    rest = () if step == 1 else (step,)
    result = net.add(Slice(**{name: (first, end, *rest)}), x.node)
    return result.seen(result.view._replace(axes=x.view.axes))


def element(net: Network, x: Value, axis: int, i: int) -> Value:
    """Return one element of an axis, without that axis."""
    part = cut(net, x, axis, i, i + 1)
    return net.reshaped(part, (*part.shape[:axis], *part.shape[axis + 1 :]))


def picked(net: Network, x: Value, axis: int, indices: Sequence[int]) -> Value:
    """Return the elements of an axis with these indices, in their order."""
    runs: list[tuple[int, int]] = []
    for i in indices:
        if runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    if len(runs) > MOST_RUNS:
        raise Unsupported(f"its indices are {len(runs)} stretches of one axis")
    return joined(net, [cut(net, x, axis, first, end) for first, end in runs], axis)


def joined_with_constants(net: Network, parts: Sequence[Operand], axis: int) -> Value:
    """Return the concatenation along an axis of tensors and of constants, which are the same for all samples.

    Constants, such as class tokens, are added to a border of zeros: 0 + c and x + 0 are exact.
    """
    values = [part for part in parts if isinstance(part, Value)]
    if any(value.view.holds_batch(axis) for value in values):
        raise Unsupported("it is along the batch")
    if len(values) == len(parts):
        return joined(net, values, axis)
    places = [i for i, part in enumerate(parts) if isinstance(part, Value)]
    if places != list(range(places[0], places[-1] + 1)):
        raise Unsupported("a constant stands between its tensors")
    whole = joined(net, values, axis)
    sizes = [part.shape[axis] for part in parts]
    before, after = sum(sizes[: places[0]]), sum(sizes[places[-1] + 1 :])
    sides = [(before, after) if i == axis else (0, 0) for i in range(len(whole.shape))]
    batch = whole.view.axes.index((BATCH,)) if (BATCH,) in whole.view.axes else None
    shape = [1 if i == batch else n for i, n in enumerate(whole.shape)]
    arrays = []
    for part in parts:
        constant = np.zeros((), np.float32) if isinstance(part, Value) else _of_one_sample(part, batch)
        arrays.append(np.broadcast_to(constant, [part.shape[i] if i == axis else n for i, n in enumerate(shape)]))
    return shifted(net, bordered(net, whole, sides, "constant", 0.0), np.concatenate(arrays, axis))


def _of_one_sample(constant: Array, batch: int | None) -> Array:
    """Return a constant, which has to be the same for all samples, without those behind the first."""
    if batch is None:
        return constant
    first = constant.take([0], batch)
    if not (constant == first).all():
        raise Unsupported("its constant differs by sample")
    return first


def bordered(net: Network, x: Value, sides: list[tuple[int, int]], mode: Any, value: float) -> Value:
    """Return a tensor with a border before and after each axis."""
    if not math.isfinite(value):
        raise Unsupported(f"the border is filled with {value}")
    padded = [axis for axis, side in enumerate(sides) if side != (0, 0)]
    if not padded:
        return x
    if any(x.view.holds_batch(axis) for axis in padded):
        raise Unsupported("it pads the batch")
    # An axis that is not padded becomes the channels.
    samples = [axis for axis in range(len(x.shape)) if not x.view.holds_batch(axis)]
    free = next((axis for axis in samples if axis not in padded), None)
    if free is None:
        if len(samples) == MOST_SIZES:
            raise Unsupported("it pads the channels and all other axes")
        first = samples[0]
        wider = bordered(net, x.seen(x.view.with_axes([first])), [*sides[:first], (0, 0), *sides[first:]], mode, value)
        return wider.seen(wider.view.without(first))
    moved, back = net.channels_at(x, free)
    spatial = [sides[axis] for axis in samples if axis != free]
    layer = Pad(padding=padding(spatial, (), (), slides=False), mode=mode, value=value)
    result = net.add(layer, moved.node)
    return result.seen(result.view._replace(axes=back.axes))
