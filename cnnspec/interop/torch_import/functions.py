"""Activations, arithmetic, merges and reductions of PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnspec.interop.importer.arithmetic import (
    along,
    bounded,
    decimal,
    divided,
    inverted,
    matrix_product,
    multiplied,
    subtracted,
    total,
    vector_norm,
    with_slope,
)
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value
from cnnspec.interop.importer.operations import clipped, elementwise, merged, powered, reduced, scaled
from cnnspec.interop.importer.parts import cut
from cnnspec.interop.torch_import.call import Call, Convert
from cnnspec.layers import Layer, activation, function, merge
from cnnspec.layers.norm import Scale

_PLAIN: dict[str, Layer] = {
    "relu": activation.Relu(),
    "relu6": activation.Relu6(),
    "sigmoid": activation.Sigmoid(),
    "tanh": activation.Tanh(),
    "silu": activation.Silu(),
    "mish": activation.Mish(),
    "selu": activation.Selu(),
    "hardsigmoid": activation.HardSigmoid(),
    "hardswish": activation.HardSwish(),
    "log_sigmoid": function.LogSigmoid(),
    "abs": function.Abs(),
    "exp": function.Exp(),
    "log": function.Log(),
    "sqrt": function.Sqrt(),
    "rsqrt": function.Power(exponent=-0.5),
    "square": function.Power(exponent=2.0),
}


def _plain(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), _PLAIN[call.op])


def _log_sigmoid(net: Network, call: Call) -> list[Value]:
    return [elementwise(net, call.value(), function.LogSigmoid())]


def _leaky_relu(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), activation.LeakyRelu(slope=call.get("negative_slope")))


def _elu(net: Network, call: Call) -> Value:
    """Return scale · (x > 0 ? x : alpha · (exp(input_scale · x) − 1))."""
    alpha, scale, input_scale = (float(call.get(key)) for key in ("alpha", "scale", "input_scale"))
    if input_scale == 1:
        y = elementwise(net, call.value(), activation.Elu(alpha=alpha))
    elif math.isclose(input_scale * alpha, 1):
        y = elementwise(net, call.value(), function.Celu(alpha=alpha))
    else:
        raise Unsupported(f"`input_scale` is {input_scale}")
    return y if scale == 1 else elementwise(net, y, Scale(value=scale, learn=False))


def _celu(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), function.Celu(alpha=float(call.get("alpha"))))


def _gelu(net: Network, call: Call) -> Value:
    return elementwise(net, call.value(), activation.Gelu(approximate=call.get("approximate")))


def _softplus(net: Network, call: Call) -> Value:
    """Return log(1 + exp(beta · x)) / beta, which is x above the threshold but for rounding."""
    if call.get("threshold") < 15:  # of beta · x, where the two differ by exp(−threshold) / beta
        raise Unsupported(f"`threshold` is {call.get('threshold')}")
    return elementwise(net, call.value(), activation.Softplus(beta=float(call.get("beta"))))


def _threshold(net: Network, call: Call) -> Value:
    if call.get("value") != 0:
        raise Unsupported(f"`value` is {call.get('value')}")
    return elementwise(net, call.value(), function.ThresholdedRelu(alpha=float(call.get("threshold"))))


def _prelu(net: Network, call: Call) -> Value:
    slope = call.array("weight")
    assert slope is not None
    x = call.value()
    if slope.size > 1:
        slope = net.transformed(slope, f"for {len(x.shape)} axes", lambda w: w.reshape(-1, *[1] * (len(x.shape) - 2)))
    return with_slope(net, x, slope)


def _clamp(net: Network, call: Call) -> Value:
    names = {"hardtanh": ("min_val", "max_val")}.get(call.op, ("min", "max"))
    bounds = [call.get(name) for name in names]
    if any(isinstance(bound, Value) or np.size(bound) != 1 for bound in bounds):
        raise Unsupported("its bounds differ by element")
    low, high = (None if bound is None else float(np.ravel(bound)[0]) for bound in bounds)
    return clipped(net, call.value(), low, high)


def _softmax(net: Network, call: Call) -> Value:
    cls = activation.LogSoftmax if "log" in call.op else activation.Softmax
    return along(net, call.value(), cls, call.axis())


# Arithmetic


def _scaled_operand(net: Network, call: Call) -> Operand:
    """Return alpha · other."""
    other, alpha = call.operand("other"), call.get("alpha")
    if alpha in (None, 1):
        return other
    factor = np.array(float(alpha))
    return scaled(net, other, factor) if isinstance(other, Value) else other * factor


def _add(net: Network, call: Call) -> Value:
    return total(net, [call.operand("self"), _scaled_operand(net, call)])


def _subtract(net: Network, call: Call) -> Value:
    return subtracted(net, call.operand("self"), _scaled_operand(net, call))


def _subtract_from(net: Network, call: Call) -> Value:
    """Return other − alpha · self."""
    call.refuse(alpha=1)
    return subtracted(net, call.operand("other"), call.operand("self"))


def _multiply(net: Network, call: Call) -> Value:
    return multiplied(net, [call.operand("self"), call.operand("other")])


def _divide(net: Network, call: Call) -> Value:
    call.refuse(rounding_mode=None)
    return divided(net, call.operand("self"), call.operand("other"))


def _power(net: Network, call: Call) -> Value:
    exponent = call.array("exponent")
    assert exponent is not None
    return powered(net, call.value(), exponent)


def _bounded(net: Network, call: Call) -> Value:
    cls = merge.Maximum if call.op.startswith("max") else merge.Minimum
    return bounded(net, cls, [call.operand("self"), call.operand("other")])


def _negative(net: Network, call: Call) -> Value:
    return scaled(net, call.value(), np.array(-1.0))


def _reciprocal(net: Network, call: Call) -> Value:
    return inverted(net, call.value())


# Over axes

_REDUCTIONS: dict[str, str] = {"mean": "mean", "sum": "sum", "amax": "max", "amin": "min"}


def _reduce(net: Network, call: Call) -> Value:
    return reduced(net, call.value(), call.axes(), _REDUCTIONS[call.op], bool(call.get("keepdim")))


def _extremum(net: Network, call: Call) -> list[Value] | Value:
    """Return the maximum or the minimum of two tensors, or along an axis, without where it is."""
    if call.get("other") is not None:
        return _bounded(net, call)
    return [reduced(net, call.value(), [call.axis()], call.op, bool(call.get("keepdim")))]


def _vector_norm(net: Network, call: Call) -> Value:
    """Return (Σ |x|^p)^(1/p)."""
    p = float(call.get("ord") if call.get("ord") is not None else call.get("p"))
    if p not in (1, 2):
        raise Unsupported(f"it is the norm of order {p:g}")
    return vector_norm(net, call.value(), int(p), call.axes(), bool(call.get("keepdim")))


def _variance(net: Network, call: Call) -> Value:
    """Return Σ (x − mean)² / (n − correction), or its root; the correction is 1 where nothing else is said."""
    x, axes, keep = call.value(), call.axes(), bool(call.get("keepdim"))
    correction = 0.0 if call.get("unbiased") is False else 1.0
    correction = correction if call.get("correction") is None else float(call.get("correction"))
    n = math.prod(x.shape[axis] for axis in axes)
    left = n - correction
    if left <= 0:
        raise Unsupported(f"it is of {n} number{'s' * (n != 1)}, with a correction of {correction:g}")
    centred = merged(net, merge.Subtract, [x, reduced(net, x, axes, "mean", True)])
    squares = elementwise(net, centred, function.Power(exponent=2.0))
    y = scaled(net, reduced(net, squares, axes, "mean", keep), np.array(n / left))
    return elementwise(net, y, function.Sqrt()) if call.op == "std" else y


def _gated_unit(net: Network, call: Call) -> Value:
    """Return a · sigmoid(b) of the halves of an axis."""
    x, axis = call.value(), call.axis()
    half = x.shape[axis] // 2
    a, b = cut(net, x, axis, 0, half), cut(net, x, axis, half, 2 * half)
    return multiplied(net, [a, elementwise(net, b, activation.Sigmoid())])


def _attention(net: Network, call: Call) -> Value:
    """Return softmax(q · kᵀ / √d) · v, its products one by one."""
    call.refuse(attn_mask=None, is_causal=False, enable_gqa=False)
    q, k, v = (call.value(name) for name in ("query", "key", "value"))
    scale: Any = call.get("scale")
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    rank = len(k.shape)
    turned = k.seen(k.view.transposed([*range(rank - 2), rank - 1, rank - 2]))
    scores = scaled(net, matrix_product(net, q, turned), np.array(decimal(factor)))
    return matrix_product(net, along(net, scores, activation.Softmax, rank - 1), v)


OPERATORS: dict[str, Convert] = {
    **dict.fromkeys(_PLAIN, _plain),
    "log_sigmoid_forward": _log_sigmoid,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "celu": _celu,
    "gelu": _gelu,
    "softplus": _softplus,
    "threshold": _threshold,
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "hardtanh": _clamp,
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax),
    "add": _add,
    "sub": _subtract,
    "rsub": _subtract_from,
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    "maximum": _bounded,
    "minimum": _bounded,
    "neg": _negative,
    "reciprocal": _reciprocal,
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "max": _extremum,
    "min": _extremum,
    "linalg_vector_norm": _vector_norm,
    "norm": _vector_norm,
    **dict.fromkeys(("var", "std"), _variance),
    "glu": _gated_unit,
    "scaled_dot_product_attention": _attention,
}
"""The functions of numbers, and what is over an axis."""
