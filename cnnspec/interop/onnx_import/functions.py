"""Activations, arithmetic, merges and products of ONNX."""

from __future__ import annotations

import math

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import (
    branch_names,
    by_channel,
    clipped,
    elementwise,
    merged,
    powered,
    product,
    reduced,
    scaled,
    shifted,
    turned,
)
from cnnspec.interop.onnx_import.call import Call, Convert, decimal, place
from cnnspec.layers import Layer, activation, function, merge
from cnnspec.layers.norm import Scale

_PLAIN: dict[str, type[Layer]] = {
    "Relu": activation.Relu,
    "Sigmoid": activation.Sigmoid,
    "Tanh": activation.Tanh,
    "Softplus": activation.Softplus,
    "Softsign": function.Softsign,
    "Mish": activation.Mish,
    "HardSwish": activation.HardSwish,
    "Abs": function.Abs,
    "Exp": function.Exp,
    "Log": function.Log,
    "Sqrt": function.Sqrt,
}


def _plain(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), _PLAIN[call.op]())


_WITH_NUMBER: dict[str, tuple[type[Layer], str, float]] = {
    "LeakyRelu": (activation.LeakyRelu, "slope", 0.01),
    "Elu": (activation.Elu, "alpha", 1.0),
    "Celu": (function.Celu, "alpha", 1.0),
    "ThresholdedRelu": (function.ThresholdedRelu, "alpha", 1.0),
}
"""Functions with a number, `alpha`: the layer, its field, and the default."""


def _with_number(net: Network, call: Call) -> Value:
    cls, field, default = _WITH_NUMBER[call.op]
    return elementwise(net, call.value(), cls(**{field: call.decimal("alpha", default)}))


_SELU = (1.67326319217681884765625, 1.05070102214813232421875)
"""The alpha and gamma of Selu: Klambauer et al. 2017."""


def _selu(net: Network, call: Call) -> Value:
    alpha, gamma = (call.get(key, value) for key, value in zip(("alpha", "gamma"), _SELU, strict=True))
    if math.isclose(alpha, _SELU[0], rel_tol=1e-5) and math.isclose(gamma, _SELU[1], rel_tol=1e-5):
        return elementwise(net, call.value(), activation.Selu())
    y = elementwise(net, call.value(), activation.Elu(alpha=decimal(alpha)))
    return elementwise(net, y, Scale(value=decimal(gamma), learn=False))


def _hard_sigmoid(net: Network, call: Call) -> Value:
    slope = call.decimal("alpha", 0.2)
    slope = 1 / 6 if math.isclose(slope, 1 / 6, rel_tol=1e-6) else slope
    return elementwise(net, call.value(), activation.HardSigmoid(slope=slope, offset=call.decimal("beta", 0.5)))


def _gelu(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), activation.Gelu(approximate=call.get("approximate", "none")))


def _swish(net: Network, call: Call) -> Value:
    alpha = call.get("alpha", 1.0)
    if alpha == 1:
        return elementwise(net, call.value(), activation.Silu())
    gate = elementwise(net, scaled(net, call.value(), np.array(alpha)), activation.Sigmoid())
    return merged(net, merge.Multiply, [call.value(), gate])


def _prelu(net: Network, call: Call) -> Value:
    x, slope = call.value(), call.constant(1, "slope")
    if slope.size == 1:
        layer = activation.Prelu(shared=True)
        return net.add(layer, x.node, arrays={"weight": slope.reshape(1)}).seen(x.view)
    x, weight = by_channel(net, x, slope)
    return net.add(activation.Prelu(), x.node, arrays={"weight": weight}).seen(x.view)


def _softmax(net: Network, call: Call) -> Value:
    layer = activation.Softmax if call.op == "Softmax" else activation.LogSoftmax
    x = call.value()
    if call.opset >= 13:
        axis = call.axis(default=-1)
    else:
        # Older versions join all axes from `axis` on.
        axis = call.axis(default=1)
        if math.prod(x.shape[axis + 1 :]) != 1:
            if axis != 1:
                raise Unsupported(f"it is over several axes, from {axis} on")
            flat = net.reshaped(x, (net.batch, math.prod(x.shape[1:])))
            y = net.add(layer(), net.plain(flat).node)
            return net.reshaped(y, x.shape)
    if x.view.holds_batch(axis):
        raise Unsupported("it is over the batch")
    if x.shape[axis] == 1:
        raise Unsupported("its axis has size one")
    x, (name,) = net.along(x, axis)
    return net.add(layer(axis=name), x.node).seen(x.view)  # type: ignore[arg-type]


def _clip(net: Network, call: Call) -> Value:
    low, high = call.setting("min", 1), call.setting("max", 2)
    return clipped(net, call.value(), *(None if bound is None else decimal(float(bound)) for bound in (low, high)))


# Arithmetic


def _split(call: Call) -> tuple[list[Value], list[Array]]:
    """Return the inputs that depend on the network's, and the constants."""
    values = [x for x in call.inputs if isinstance(x, Value)]
    return values, [x for x in call.inputs if x is not None and not isinstance(x, Value)]


def _decimals(constant: Array) -> Array:
    return np.array(decimal(float(constant.ravel()[0]))) if constant.size == 1 else constant


def _add(net: Network, call: Call) -> Value:
    values, constants = _split(call)
    total = merged(net, merge.Add, values) if len(values) > 1 else values[0]
    for constant in constants:
        total = shifted(net, total, _decimals(constant))
    return total


def _multiply(net: Network, call: Call) -> Value:
    values, constants = _split(call)
    total = merged(net, merge.Multiply, values) if len(values) > 1 else values[0]
    for constant in constants:
        total = scaled(net, total, _decimals(constant))
    return total


def _subtract(net: Network, call: Call) -> Value:
    a, b = call.inputs
    if isinstance(a, Value) and isinstance(b, Value):
        return merged(net, merge.Subtract, [a, b])
    if isinstance(a, Value):
        return shifted(net, a, -_decimals(call.constant(1, "subtrahend")))
    return shifted(net, scaled(net, call.value(1), np.array(-1.0)), _decimals(call.constant(0, "minuend")))


def _divide(net: Network, call: Call) -> Value:
    a, b = call.inputs
    if isinstance(a, Value) and isinstance(b, Value):
        return merged(net, merge.Divide, [a, b])
    if isinstance(a, Value):
        divisor = _decimals(call.constant(1, "divisor"))
        if not divisor.all():
            raise Unsupported("it divides by zero")
        return scaled(net, a, (1 / divisor.astype(np.float64)).astype(np.result_type(divisor, np.float32)))
    inverse = elementwise(net, call.value(1), function.Power(exponent=-1.0))
    return scaled(net, inverse, _decimals(call.constant(0, "dividend")))


def _extremum(cls: type[merge.Merge]) -> Convert:
    def convert(net: Network, call: Call) -> Value:
        values, constants = _split(call)
        result = merged(net, cls, values) if len(values) > 1 else values[0]
        for constant in constants:
            if not (constant == constant.ravel()[0]).all():
                raise Unsupported("its constant differs by element")
            bound = decimal(float(constant.ravel()[0]))
            result = clipped(net, result, *((bound, None) if cls is merge.Maximum else (None, bound)))
        return result

    return convert


def _mean(net: Network, call: Call) -> Value:
    values, constants = _split(call)
    if constants:
        raise Unsupported("one of its inputs is a constant")
    return merged(net, merge.Mean, values) if len(values) > 1 else values[0]


def _negative(net: Network, call: Call) -> Value:
    return scaled(net, call.value(), np.array(-1.0))


def _reciprocal(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), function.Power(exponent=-1.0))


def _power(net: Network, call: Call) -> Value:
    return powered(net, call.value(), _decimals(call.constant(1, "exponent")))


def _matmul(net: Network, call: Call) -> Value:
    a, b = call.inputs
    if isinstance(a, Value) and not isinstance(b, Value):
        weight = call.constant(1, "weight")
        if weight.ndim == 1:
            column = net.transformed(weight, "as a row", lambda w: w.reshape(1, -1))
            y = product(net, a, column)
            return y.seen(y.view.without(len(y.shape) - 1))
        return product(net, a, turned(net, weight))
    if isinstance(b, Value) and not isinstance(a, Value):
        # W · x is x · Wᵀ, with the last two axes of x exchanged before and after.
        order = [*range(len(b.shape) - 2), len(b.shape) - 1, len(b.shape) - 2]
        y = product(net, b.seen(b.view.transposed(order)), call.constant(0, "weight"))
        return y.seen(y.view.transposed(order))
    x, y = call.value(0), call.value(1)
    ranks = [len(value.shape) - value.view.has_batch for value in (x, y)]
    if min(ranks) < 2 or x.view.has_batch != y.view.has_batch:
        raise Unsupported(f"it multiplies {net.described(x)} by {net.described(y)}")
    moved = [net.plain_like(value) for value in (x, y)]
    result = net.add(merge.Matmul(), *(value.node for value in moved), branches=branch_names(2))
    return result if x.view.has_batch else result.seen(result.view.without(0))


_REDUCTIONS: dict[str, tuple[Layer | None, str, Layer | None]] = {
    "ReduceMean": (None, "mean", None),
    "ReduceMax": (None, "max", None),
    "ReduceMin": (None, "min", None),
    "ReduceSum": (None, "sum", None),
    "ReduceL1": (function.Abs(), "sum", None),
    "ReduceL2": (function.Power(exponent=2.0), "sum", function.Sqrt()),
    "ReduceSumSquare": (function.Power(exponent=2.0), "sum", None),
    "ReduceLogSum": (None, "sum", function.Log()),
}
"""What is reduced how, and what follows."""


def _reduce(net: Network, call: Call) -> Value:
    x = call.value()
    rank = len(x.shape)
    axes = [place(axis, rank) for axis in call.integers("axes", 1) or ()]
    if not axes and call.get("noop_with_empty_axes", 0):
        return x
    before, mode, after = _REDUCTIONS[call.op]
    y = x if before is None else elementwise(net, x, before)
    y = reduced(net, y, axes or range(rank), mode, bool(call.get("keepdims", 1)))
    return y if after is None else elementwise(net, y, after)


def _normalised(net: Network, call: Call) -> Value:
    """Return x / (Σ |x|^p)^(1/p) along an axis; a norm of zero counts as 1e-12, as in PyTorch's normalize."""
    x, axis, p = call.value(), call.axis(default=-1), call.get("p", 2)
    size = elementwise(net, x, function.Power(exponent=2.0) if p == 2 else function.Abs())
    norm = reduced(net, size, [axis], "sum", True)
    norm = elementwise(net, norm, function.Sqrt()) if p == 2 else norm
    return merged(net, merge.Divide, [x, clipped(net, norm, 1e-12, None)])


OPERATORS: dict[str, Convert] = {
    **dict.fromkeys(_PLAIN, _plain),
    **dict.fromkeys(_WITH_NUMBER, _with_number),
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "PRelu": _prelu,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Clip": _clip,
    "Add": _add,
    "Sum": _add,
    "Mul": _multiply,
    "Sub": _subtract,
    "Div": _divide,
    "Max": _extremum(merge.Maximum),
    "Min": _extremum(merge.Minimum),
    "Mean": _mean,
    "Neg": _negative,
    "Reciprocal": _reciprocal,
    "Pow": _power,
    "MatMul": _matmul,
    "LpNormalization": _normalised,
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
