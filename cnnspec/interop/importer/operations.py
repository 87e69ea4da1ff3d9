"""What foreign operations have in common, as layers: arithmetic with constants, merges, products, means, slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.view import BATCH, View
from cnnspec.layers import Layer, Shape, merge
from cnnspec.layers.activation import Relu, Relu6
from cnnspec.layers.attention import PositionEmbedding
from cnnspec.layers.axes import short_form
from cnnspec.layers.conv import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.function import Clip, Power
from cnnspec.layers.geometry import SIDES, effective_kernel, split_total
from cnnspec.layers.norm import Scale, Shift
from cnnspec.layers.padding import Padding, Sides, Total
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool
from cnnspec.layers.reduce import Reduce
from cnnspec.layers.resize import Resize


def padding(
    pads: Sequence[tuple[int, int]], kernel: Sequence[int], dilation: Sequence[int], slides: bool = True
) -> Padding:
    """Return pads by axis in their shortest form, for a window that `slides` over its input, or for none."""
    if not any(before or after for before, after in pads):
        return "valid" if slides else Total(0)
    totals = [before + after for before, after in pads]
    if all(split_total(total) == pad for total, pad in zip(totals, pads, strict=True)):
        same = slides and totals == [effective_kernel(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return "same" if same else Total(short_form(totals))
    flat = [n for pad in pads for n in pad]
    return Sides(tuple((side, n) for side, n in zip(SIDES[len(pads)], flat, strict=True) if n))


# Elementwise


def elementwise(net: Network, value: Value, layer: Layer) -> Value:
    """Return a function of each number, whatever the order of the axes."""
    return net.add(layer, value.node).seen(value.view)


def clipped(net: Network, value: Value, low: float | None, high: float | None) -> Value:
    """Return min(max(x, low), high)."""
    low, high = (None if bound is None or math.isinf(bound) or abs(bound) > 3e38 else bound for bound in (low, high))
    if low is None and high is None:
        return value
    if (low, high) in ((0, None), (0, 6)):
        return elementwise(net, value, Relu6() if high else Relu())
    return elementwise(net, value, Clip(min=low, max=high))


def scaled(net: Network, value: Value, factor: Array) -> Value:
    """Return the product with a constant: one number, or one for each channel."""
    number = _number(factor)
    if number is not None:
        return value if number == 1 else elementwise(net, value, Scale(value=number, learn=False))
    value, weight = by_channel(net, value, factor)
    return net.add(Scale(), value.node, arrays={"weight": weight}).seen(value.view)


def shifted(net: Network, value: Value, term: Array) -> Value:
    """Return the sum with a constant: one number, one for each channel, or one for each element of a sample."""
    number = _number(term)
    if number is not None:
        return value if number == 0 else elementwise(net, value, Shift(value=number, learn=False))
    if _is_sample(value, term):
        plain = net.plain_like(value)
        shape = net.node(plain).shape
        weight = net.transformed(
            term, f"as {shape}", lambda array: np.broadcast_to(array.reshape(array.shape[-len(shape) :]), shape)
        )
        return net.add(PositionEmbedding(), plain.node, arrays={"weight": weight}).seen(plain.view)
    value, bias = by_channel(net, value, term)
    return net.add(Shift(), value.node, arrays={"bias": bias}).seen(value.view)


def powered(net: Network, value: Value, exponent: Array) -> Value:
    """Return x^exponent of one number."""
    if not exponent.size or not (exponent == exponent.ravel()[0]).all():
        raise Unsupported("its exponents differ by element")
    return elementwise(net, value, Power(exponent=float(exponent.ravel()[0])))


def _number(constant: Array) -> float | None:
    """Return the number that a constant is; a list of equal numbers is a list, which may be learned."""
    if not constant.size:
        raise Unsupported("it reads an empty constant")
    return float(constant.ravel()[0]) if constant.size == 1 else None


def _is_sample(value: Value, constant: Array) -> bool:
    """Whether a constant has more than one number along several axes, none along the batch."""
    sizes = [1] * (len(value.shape) - constant.ndim) + list(constant.shape)
    return sum(n > 1 for n in sizes) > 1 and (sizes[0] == 1 or not value.view.has_batch)


def by_channel(net: Network, value: Value, constant: Array) -> tuple[Value, Array]:
    """Return a tensor whose channels a constant is for, and the constant as a list."""
    rank = len(value.shape)
    sizes = [1] * (rank - constant.ndim) + list(constant.shape)
    large = [i for i, n in enumerate(sizes) if n > 1]
    if len(sizes) > rank or len(large) != 1 or value.shape[large[0]] != sizes[large[0]]:
        raise Unsupported(f"a constant of {list(constant.shape)} is broadcast to {net.described(value)}")
    if net.sample_axis(value, large[0]) != 0:
        moved, back = net.channels_at(value, large[0])
        value = moved.seen(back)
    return value, net.transformed(constant, "as a list", lambda array: array.ravel())


# Merges


def merged(net: Network, cls: type[merge.Merge], values: Sequence[Value]) -> Value:
    """Return a function of the numbers at one place of several tensors, broadcast as in NumPy."""
    rank = max(len(value.shape) for value in values)
    aligned = [v.seen(v.view.with_axes(range(rank - len(v.shape)))) for v in values]
    branches = branch_names(len(values))
    if len({v.view for v in aligned}) == 1 and len({net.node(v).shape for v in aligned}) == 1:
        return net.add(cls(), *(v.node for v in aligned), branches=branches).seen(aligned[0].view)
    order = _natural(aligned[0].view)
    moved = [net.plain_like(v.seen(v.view.transposed(order))) for v in aligned]
    back = moved[0].view
    target = tuple(map(max, *(net.node(v).shape for v in moved)))
    if cls is merge.Add and any(net.node(v).shape != target for v in moved):
        moved, cls = _expanded(net, moved, target)
    result = net.add(cls(), *(v.node for v in moved), branches=branches)
    return result.seen(View(result.view.factors, back.transposed([order.index(i) for i in range(rank)]).axes))


def _natural(view: View) -> list[int]:
    """Return the order of a tensor's axes that is that of the node's value, if the batch is then first."""
    keys: list[tuple[int, int]] = []
    for i, axis in enumerate(view.axes):
        keys.append((axis[0] if axis else keys[-1][0] if keys else -1, i))
    order = sorted(range(len(keys)), key=lambda i: keys[i])
    return order if not view.has_batch or view.axes[order[0]] == (BATCH,) else list(range(len(keys)))


def _expanded(net: Network, values: Sequence[Value], target: Shape) -> tuple[list[Value], type[merge.Merge]]:
    """Return the summands of a sum that is broadcast to a sample's shape, and the merge that computes it."""
    found: list[Value] = []
    for value in values:
        shape = net.node(value).shape
        if any(n not in (1, m) for n, m in zip(shape, target, strict=True)):
            raise Unsupported(f"a tensor of {list(shape)} is added to one of {list(target)}")
        if shape != target and len(target) > 1 and shape[0] == target[0]:
            value = net.add(Resize(size=short_form(target[1:]), mode="nearest"), value.node)
        found.append(value)
    if all(net.node(value).shape == target for value in found):
        return found, merge.Add
    negative = [net.add(Scale(value=-1.0, learn=False), value.node) for value in found[1:]]
    return [found[0], *negative], merge.Subtract


def branch_names(count: int) -> tuple[str, ...]:
    """Return names for the branches of a merge: a, b, c, …"""
    return tuple(chr(ord("a") + i) if i < 26 else f"b{i}" for i in range(count))


def joined(net: Network, values: Sequence[Value], axis: int) -> Value:
    """Return the concatenation along an axis."""
    if len(values) == 1:
        return values[0]
    moved = [net.channels_at(value, axis) for value in values]
    result = net.add(merge.Concat(), *(value.node for value, _ in moved), branches=branch_names(len(values)))
    return result.seen(View(result.view.factors, moved[0][1].axes))


# Products


def turned(net: Network, weight: Array) -> Array:
    """Return a matrix [f, o] as [o, f], the same object each time."""
    return net.transformed(weight, "transposed", lambda w: np.ascontiguousarray(w.T))


def product(net: Network, value: Value, weight: Array, bias: Array | None = None) -> Value:
    """Return x · weightᵀ over the last axis of x, weight [o, f], as a dense layer or one at every position."""
    if weight.ndim != 2 or value.shape[-1] != weight.shape[1]:
        raise Unsupported(f"{net.described(value)} is multiplied by a constant of {list(weight.shape[::-1])}")
    view, counts = value.view.split_at_batch()
    moved, back = net.channels_at(value.seen(view), -1)
    rank, units = len(net.node(moved).shape) - 1, weight.shape[0]
    layer: Layer = Dense(units=units, bias=bias is not None)
    if rank:
        layer = Conv(channels=units, kernel=1, bias=bias is not None)
        weight = net.transformed(weight, f"with {rank} axes", lambda w: w.reshape(*w.shape, *[1] * rank))
    arrays = {"weight": weight} | ({} if bias is None else {"bias": bias})
    result = net.add(layer, moved.node, arrays=arrays)
    return result.seen(View(result.view.factors, back.axes).joined(counts))


# Means


def reduced(net: Network, value: Value, axes: Sequence[int], mode: str, keep: bool) -> Value:
    """Return the mean (or max, min, sum) over some axes, which stay with size one where `keep` is set."""
    rank = len(value.shape)
    axes = sorted(axis % rank for axis in axes)
    large = [axis for axis in axes if value.shape[axis] > 1]
    if any(value.view.holds_batch(axis) for axis in axes):
        raise Unsupported("it is over the batch")
    if large:
        others = [axis for axis in range(rank) if axis not in axes and value.shape[axis] > 1]
        others = [axis for axis in others if value.view.axes[axis] != (BATCH,)]
        if None in [net.sample_axis(value, axis) for axis in (*large, *others)]:
            value = net.plain_like(value)
        value, names = net.along(value, *large)
        shape = net.node(value).shape
        whole = "channels" not in names and len(names) == sum(n > 1 for n in shape[1:])
        pools: dict[str, Layer] = {"mean": AdaptiveAvgPool(size=1), "max": AdaptiveMaxPool(size=1)}
        layer = pools[mode] if whole and mode in pools else Reduce(axes=names, mode=cast(Any, mode))
        result = net.add(layer, value.node)
        places = {axis: net.sample_axis(value, axis) for axis in others}
        found = {axis: (1 + place,) for axis, place in places.items() if place is not None}
        found |= {axis: (BATCH,) for axis in range(rank) if value.view.axes[axis] == (BATCH,)}
        value = result.seen(View(result.view.factors, tuple(found.get(axis, ()) for axis in range(rank))))
    if not keep:
        value = value.seen(value.view.without(*axes))
    return value
