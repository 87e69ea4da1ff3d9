"""Activations, arithmetic, merges and products of ONNX."""

from __future__ import annotations

import math

import numpy as np

from cnnspec.interop.importer.arithmetic import (
    along,
    bounded,
    decimal,
    decimals,
    divided,
    inverted,
    matrix_product,
    multiplied,
    normalised,
    subtracted,
    total,
    with_slope,
)
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.importer.operations import clipped, elementwise, merged, powered, reduced, scaled
from cnnspec.interop.onnx_import.call import Call, Convert, place
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
    return with_slope(net, call.value(), call.constant(1, "slope"))


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
    return along(net, x, layer, axis)


def _clip(net: Network, call: Call) -> Value:
    low, high = call.setting("min", 1), call.setting("max", 2)
    return clipped(net, call.value(), *(None if bound is None else decimal(float(bound)) for bound in (low, high)))


# Arithmetic


def _operands(call: Call) -> list[Operand]:
    return [x for x in call.inputs if x is not None]


def _pair(call: Call) -> tuple[Operand, Operand]:
    a, b = _operands(call)
    return a, b


def _mean(net: Network, call: Call) -> Value:
    values = call.values()
    return merged(net, merge.Mean, values) if len(values) > 1 else values[0]


def _negative(net: Network, call: Call) -> Value:
    return scaled(net, call.value(), np.array(-1.0))


def _power(net: Network, call: Call) -> Value:
    return powered(net, call.value(), decimals(call.constant(1, "exponent")))


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
    return normalised(net, call.value(), call.get("p", 2), call.axis(default=-1), 1e-12)


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
    "Add": lambda net, call: total(net, _operands(call)),
    "Sum": lambda net, call: total(net, _operands(call)),
    "Mul": lambda net, call: multiplied(net, _operands(call)),
    "Sub": lambda net, call: subtracted(net, *_pair(call)),
    "Div": lambda net, call: divided(net, *_pair(call)),
    "Max": lambda net, call: bounded(net, merge.Maximum, _operands(call)),
    "Min": lambda net, call: bounded(net, merge.Minimum, _operands(call)),
    "Mean": _mean,
    "Neg": _negative,
    "Reciprocal": lambda net, call: inverted(net, call.value()),
    "Pow": _power,
    "MatMul": lambda net, call: matrix_product(net, *_pair(call)),
    "LpNormalization": _normalised,
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
