"""Arithmetic of foreign operations, whose operands are tensors that depend on the inputs, or constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.importer.operations import (
    branch_names,
    by_channel,
    clipped,
    elementwise,
    merged,
    product,
    reduced,
    scaled,
    shifted,
    turned,
)
from cnnspec.interop.importer.windows import averaged, recounted
from cnnspec.layers import activation, function, merge


def decimal(number: float) -> float:
    """Return the shortest decimal that is this number in float32, in which models keep it: 0.1, not 0.10000000149."""
    return float(str(np.float32(number))) if np.float32(number) == number else float(number)


def decimals(constant: Array) -> Array:
    """Return a constant of one number as the shortest decimal; others as they are."""
    return np.array(decimal(float(constant.ravel()[0]))) if constant.size == 1 else constant


def _separated(operands: Sequence[Operand]) -> tuple[list[Value], list[Array]]:
    """Return the operands that depend on the network's inputs, and the constants."""
    values = [x for x in operands if isinstance(x, Value)]
    return values, [x for x in operands if not isinstance(x, Value)]


def total(net: Network, operands: Sequence[Operand]) -> Value:
    """Return the sum."""
    values, constants = _separated(operands)
    result = merged(net, merge.Add, values) if len(values) > 1 else values[0]
    for constant in constants:
        result = shifted(net, result, decimals(constant))
    return result


def multiplied(net: Network, operands: Sequence[Operand]) -> Value:
    """Return the product, element by element."""
    values, constants = _separated(operands)
    result = merged(net, merge.Multiply, values) if len(values) > 1 else values[0]
    for constant in constants:
        result = recounted(net, result, constant) or scaled(net, result, decimals(constant))
    return result


def subtracted(net: Network, a: Operand, b: Operand) -> Value:
    """Return a − b."""
    if isinstance(a, Value):
        return merged(net, merge.Subtract, [a, b]) if isinstance(b, Value) else shifted(net, a, -decimals(b))
    assert isinstance(b, Value)
    return shifted(net, scaled(net, b, np.array(-1.0)), decimals(a))


def inverted(net: Network, x: Value) -> Value:
    """Return 1 / x."""
    return elementwise(net, x, function.Power(exponent=-1.0))


def divided(net: Network, a: Operand, b: Operand) -> Value:
    """Return a / b, element by element."""
    if not isinstance(b, Value):
        assert isinstance(a, Value)
        divisor = decimals(b)
        if not divisor.all():
            raise Unsupported("it divides by zero")
        return scaled(net, a, (1 / divisor.astype(np.float64)).astype(np.result_type(divisor, np.float32)))
    if isinstance(a, Value):
        return merged(net, merge.Divide, [a, b])
    return scaled(net, inverted(net, b), decimals(a))


def bounded(net: Network, cls: type[merge.Maximum] | type[merge.Minimum], operands: Sequence[Operand]) -> Value:
    """Return the maximum or the minimum, element by element; constants are bounds."""
    values, constants = _separated(operands)
    result = merged(net, cls, values) if len(values) > 1 else values[0]
    for constant in constants:
        if not (constant == constant.ravel()[0]).all():
            raise Unsupported("its constant differs by element")
        bound = decimal(float(constant.ravel()[0]))
        result = clipped(net, result, *((bound, None) if cls is merge.Maximum else (None, bound)))
    return result


def with_slope(net: Network, x: Value, slope: Array) -> Value:
    """Return x where it is above 0, else slope · x, with one slope or one for each channel."""
    if slope.size == 1:
        layer = activation.Prelu(shared=True)
        weight = net.transformed(slope, "as a list", lambda array: array.reshape(1))
        return net.add(layer, x.node, arrays={"weight": weight}).seen(x.view)
    x, weight = by_channel(net, x, slope)
    return net.add(activation.Prelu(), x.node, arrays={"weight": weight}).seen(x.view)


def along(net: Network, x: Value, cls: type[activation.Softmax] | type[activation.LogSoftmax], axis: int) -> Value:
    """Return the softmax, or its logarithm, along an axis."""
    if x.view.holds_batch(axis):
        raise Unsupported("it is over the batch")
    if x.shape[axis] == 1:
        raise Unsupported("its axis has size one")
    x, (name,) = net.along(x, axis)
    return net.add(cls(axis=name), x.node).seen(x.view)  # type: ignore[arg-type]


def vector_norm(net: Network, x: Value, p: int, axes: Sequence[int], keep: bool) -> Value:
    """Return (Σ |x|^p)^(1/p) over some axes, which stay with size one where `keep` is set; p is 1 or 2."""
    size = elementwise(net, x, function.Power(exponent=2.0) if p == 2 else function.Abs())
    norm = reduced(net, size, axes, "sum", keep)
    return elementwise(net, norm, function.Sqrt()) if p == 2 else norm


def normalised(net: Network, x: Value, p: int, axis: int, least: float) -> Value:
    """Return x / max((Σ |x|^p)^(1/p), least) along an axis; p is 1 or 2."""
    norm = vector_norm(net, x, p, [axis], True)
    return merged(net, merge.Divide, [x, clipped(net, norm, least, None)])


def matrix_product(net: Network, a: Operand, b: Operand) -> Value:
    """Return a · b over the last axis of a and the last but one of b, as `numpy.matmul` does."""
    if isinstance(a, Value) and not isinstance(b, Value):
        if b.ndim == 1:
            row = net.transformed(b, "as a row", lambda w: w.reshape(1, -1))
            y = product(net, a, row)
            return y.seen(y.view.without(len(y.shape) - 1))
        return product(net, a, turned(net, b))
    if isinstance(b, Value) and not isinstance(a, Value):
        if (pool := averaged(net, a, b)) is not None:
            return pool
        # W · x is x · Wᵀ, with the last two axes of x exchanged before and after.
        order = [*range(len(b.shape) - 2), len(b.shape) - 1, len(b.shape) - 2]
        y = product(net, b.seen(b.view.transposed(order)), a)
        return y.seen(y.view.transposed(order))
    assert isinstance(a, Value)
    assert isinstance(b, Value)
    (first, counts), (second, others) = a.view.split_at_batch(), b.view.split_at_batch()
    ranks = [len(view.axes) - view.has_batch for view in (first, second)]
    if min(ranks) < 2 or first.has_batch != second.has_batch or (max(counts) > 1 and counts != others):
        raise Unsupported(f"it multiplies {net.described(a)} by {net.described(b)}")
    moved = [net.plain_like(value.seen(view)) for value, view in ((a, first), (b, second))]
    result = net.add(merge.Matmul(), *(value.node for value in moved), branches=branch_names(2))
    view = result.view if first.has_batch else result.view.without(0)
    return result.seen(view.joined(counts))
