"""What moves, cuts and joins, of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import joined, padding
from cnnspec.interop.onnx_import.call import Call, Convert, decimal, place
from cnnspec.layers.dropout import Dropout
from cnnspec.layers.geometry import MOST_SIZES, centred
from cnnspec.layers.shape import Pad, Slice

# The same numbers


def _same(net: Network, call: Call) -> Value:
    return call.value()


def _dropout(net: Network, call: Call) -> Value:
    if any(call.readers.get(name) for name in call.outputs[1:]):
        raise Unsupported("its mask is used")
    rate = call.setting("ratio", 1, 0.5)
    x = call.value()
    return net.add(Dropout(rate=decimal(rate)), x.node).seen(x.view) if 0 < rate < 1 else x


def _reshape(net: Network, call: Call) -> Value:
    x = call.value()
    wanted = call.integers("shape", 1)
    if wanted is None:
        raise Unsupported("it has no shape")
    zero = call.get("allowzero", 0)
    sizes = [x.shape[i] if n == 0 and not zero else n for i, n in enumerate(wanted)]
    return net.reshaped(x, _filled(net, x, sizes))


def _filled(net: Network, x: Value, sizes: list[int]) -> tuple[int, ...]:
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


def _flatten(net: Network, call: Call) -> Value:
    x, axis = call.value(), int(call.get("axis", 1))
    axis += len(x.shape) if axis < 0 else 0
    return net.reshaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _transpose(net: Network, call: Call) -> Value:
    x = call.value()
    return x.seen(x.view.transposed(call.get("perm", range(len(x.shape))[::-1])))


def _squeeze(net: Network, call: Call) -> Value:
    x = call.value()
    axes = call.integers("axes", 1)
    dropped = (
        {i for i, n in enumerate(x.shape) if n == 1 and not x.view.holds_batch(i)}
        if axes is None
        else {place(axis, len(x.shape)) for axis in axes}
    )
    if any(x.view.holds_batch(i) for i in dropped):
        raise Unsupported("it drops the axis of the batch")
    return net.reshaped(x, tuple(n for i, n in enumerate(x.shape) if i not in dropped))


def _unsqueeze(net: Network, call: Call) -> Value:
    x = call.value()
    axes = call.integers("axes", 1) or []
    rank = len(x.shape) + len(axes)
    return x.seen(x.view.with_axes(place(axis, rank) for axis in axes))


# Parts and joints


def _concat(net: Network, call: Call) -> Value:
    axis = call.axis()
    if call.value().view.holds_batch(axis):
        raise Unsupported("it is along the batch")
    return joined(net, call.values(), axis)


def _cut(net: Network, x: Value, axis: int, first: int, end: int, step: int = 1) -> Value:
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


def _slice(net: Network, call: Call) -> Value:
    x = call.value()
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise Unsupported("it has no starts or no ends")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    for named, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            raise Unsupported("it reverses an axis")
        axis = place(named, len(x.shape))
        first, stop, _ = slice(start, end, step).indices(x.shape[axis])
        x = _cut(net, x, axis, first, stop, step)
    return x


def _split(net: Network, call: Call) -> Sequence[Value]:
    x, axis = call.value(), call.axis(default=0)
    n, parts = x.shape[axis], len(call.outputs)
    sizes = call.integers("split", 1)
    if sizes is None:
        size = -(-n // parts)
        sizes = [size] * (parts - 1) + [n - size * (parts - 1)]
    ends = np.cumsum(sizes).tolist()
    used = [bool(call.readers.get(name)) for name in call.outputs]
    pieces = zip(ends, sizes, used, strict=True)
    return [_cut(net, x, axis, end - size, end) if is_used else x for end, size, is_used in pieces]


def _gather(net: Network, call: Call) -> Value:
    """Return one element along an axis, or a stretch of them."""
    x, axis = call.value(), call.axis(default=0)
    indices = call.constant(1, "indices")
    wanted = [int(i) % x.shape[axis] for i in np.ravel(indices)]
    runs: list[tuple[int, int]] = []
    for i in wanted:
        if runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    if len(runs) > MOST_RUNS:
        raise Unsupported(f"its indices are {len(runs)} stretches of one axis")
    part = joined(net, [_cut(net, x, axis, first, end) for first, end in runs], axis)
    shape = (*part.shape[:axis], *indices.shape, *part.shape[axis + 1 :])
    return part if indices.ndim == 1 else net.reshaped(part, shape)


MOST_RUNS = 8
"""How many stretches of an axis are put together; a longer list of indices is a table, not a network."""


def _centre_crop_pad(net: Network, call: Call) -> Value:
    """Return the middle of a tensor, or the tensor in the middle of zeros."""
    x = call.value()
    sizes = call.integers("shape", 1) or []
    axes = call.get("axes", range(len(x.shape)))
    before = [0] * len(x.shape)
    after = [0] * len(x.shape)
    for named, size in zip(axes, sizes, strict=True):
        axis = place(named, len(x.shape))
        n = x.shape[axis]
        if size <= n:
            first = centred(n, size)
            x = _cut(net, x, axis, first, first + size)
        else:
            before[axis] = centred(size, n)
            after[axis] = size - n - before[axis]
    return _padded(net, x, list(zip(before, after, strict=True)), "constant", 0.0)


def _pad(net: Network, call: Call) -> Value:
    x = call.value()
    rank = len(x.shape)
    flat = call.integers("pads", 1) or call.get("paddings", [0] * 2 * rank)
    axes = call.integers("axes", 3) or range(rank)
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "circular"}
    mode: Any = modes.get(call.get("mode", "constant"))
    value = call.setting("value", 2, 0.0)
    sides = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        sides[place(axis, rank)] = (flat[i], flat[i + len(axes)])
    for axis, (before, after) in enumerate(sides):  # what is cut
        x = _cut(net, x, axis, max(0, -before), x.shape[axis] - max(0, -after))
    sides = [(max(0, before), max(0, after)) for before, after in sides]
    return _padded(net, x, sides, mode, float(np.ravel(value or 0)[0]))


def _padded(net: Network, x: Value, sides: list[tuple[int, int]], mode: Any, value: float) -> Value:
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
        wider = _padded(net, x.seen(x.view.with_axes([first])), [*sides[:first], (0, 0), *sides[first:]], mode, value)
        return wider.seen(wider.view.without(first))
    moved, back = net.channels_at(x, free)
    spatial = [sides[axis] for axis in samples if axis != free]
    layer = Pad(padding=padding(spatial, (), (), slides=False), mode=mode, value=value)
    result = net.add(layer, moved.node)
    return result.seen(result.view._replace(axes=back.axes))


OPERATORS: dict[str, Convert] = {
    "Identity": _same,
    "Cast": _same,
    "CastLike": _same,
    "Dropout": _dropout,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "CenterCropPad": _centre_crop_pad,
}
"""The operators that move, cut and join."""
