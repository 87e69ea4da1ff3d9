"""What moves, cuts and joins, of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.interop.importer.arithmetic import decimal
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.parts import bordered, cut, filled, joined_with_constants, picked
from cnnspec.interop.onnx_import.call import Call, Convert, place
from cnnspec.layers.dropout import Dropout
from cnnspec.layers.geometry import centred

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
    return net.reshaped(x, filled(net, x, sizes))


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
    parts = [part for part in call.inputs if part is not None and part.shape != (0,)]
    axis = place(int(call.get("axis", 1)), len(parts[0].shape))
    return joined_with_constants(net, parts, axis)


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
        x = cut(net, x, axis, first, stop, step)
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
    return [cut(net, x, axis, end - size, end) if is_used else x for end, size, is_used in pieces]


def _gather(net: Network, call: Call) -> Value:
    """Return one element along an axis, or a stretch of them."""
    x, axis = call.value(), call.axis(default=0)
    indices = call.constant(1, "indices")
    part = picked(net, x, axis, [int(i) % x.shape[axis] for i in np.ravel(indices)])
    shape = (*part.shape[:axis], *indices.shape, *part.shape[axis + 1 :])
    return part if indices.ndim == 1 else net.reshaped(part, shape)


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
            x = cut(net, x, axis, first, first + size)
        else:
            before[axis] = centred(size, n)
            after[axis] = size - n - before[axis]
    return bordered(net, x, list(zip(before, after, strict=True)), "constant", 0.0)


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
        x = cut(net, x, axis, max(0, -before), x.shape[axis] - max(0, -after))
    sides = [(max(0, before), max(0, after)) for before, after in sides]
    return bordered(net, x, sides, mode, float(np.ravel(value or 0)[0]))


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
