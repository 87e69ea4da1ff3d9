"""Activations: y and dy/dx of each; where the formula overflows, the limit is returned without a warning."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.activation import (
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    LogSoftmax,
    Mish,
    Prelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from cnnspec_numpy.kernels.base import Backward, Context, Result, along_channels, sum_but_channels
from cnnspec_numpy.kernels.erf import erf

# Klambauer et al. 2017, equation 14.
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def by(slope: Callable[[], Array]) -> Backward:
    """dx = dy · slope, the slope computed when it is needed."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy * slope(),), {}

    return backward


@np.errstate(over="ignore")
def logistic(x: Array, beta: float = 1.0) -> Array:
    """Return 1 / (1 + exp(−beta·x))."""
    y = np.exp(x * -beta)  # ∞ far below zero, where 1 / (1 + ∞) is 0
    y += 1
    return np.reciprocal(y, out=y)


def relu(context: Context[Relu], x: Array) -> Result:
    """max(x, 0)."""
    return np.maximum(x, 0), by(lambda: x > 0)


def relu6(context: Context[Relu6], x: Array) -> Result:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6), by(lambda: (x > 0) & (x < 6))


def leaky_relu(context: Context[LeakyRelu], x: Array) -> Result:
    """x where positive, slope·x elsewhere."""
    factor = np.where(x > 0, x.dtype.type(1), x.dtype.type(context.layer.slope))
    return x * factor, by(lambda: factor)


def prelu(context: Context[Prelu], x: Array) -> Result:
    """x where positive, weight·x elsewhere."""
    weight = along_channels(context.params["weight"], x)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dweight = sum_but_channels(dy * np.minimum(x, 0))
        if context.layer.shared:
            dweight = dweight.sum(keepdims=True)
        return (np.where(x > 0, dy, dy * weight),), {"weight": dweight}

    return np.where(x > 0, x, x * weight), backward


def elu(context: Context[Elu], x: Array) -> Result:
    """x where positive, alpha·(exp(x) − 1) elsewhere."""
    return _elu(x, 1.0, context.layer.alpha)


def selu(context: Context[Selu], x: Array) -> Result:
    """elu with the alpha and the scale that keep mean 0 and variance 1."""
    return _elu(x, SELU_SCALE, SELU_ALPHA)


def _elu(x: Array, scale: float, alpha: float) -> Result:
    below = np.minimum(x, 0)
    y = np.where(x > 0, scale * x, scale * alpha * np.expm1(below))
    return y, by(lambda: np.where(x > 0, x.dtype.type(scale), scale * alpha * np.exp(below)))


def gelu(context: Context[Gelu], x: Array) -> Result:
    """x·Φ(x), or its tanh form."""
    # Beyond the bounds Φ is 0 or 1 and its slope 0 in float64; powers of larger numbers would overflow.
    if context.layer.approximate == "none":
        inner = np.clip(x, -40, 40)
        phi = 0.5 * (1 + erf(inner * math.sqrt(0.5)))
        return x * phi, by(lambda: phi + x * np.exp(-0.5 * inner * inner) * (1 / math.sqrt(2 * math.pi)))
    inner = np.clip(x, -10, 10)
    t = np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3))
    phi = 0.5 * (1 + t)
    return x * phi, by(
        lambda: phi + 0.5 * x * (1 - t * t) * (math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * inner * inner))
    )


def silu(context: Context[Silu], x: Array) -> Result:
    """x·sigmoid(x)."""
    s = logistic(x)
    return x * s, by(lambda: s * (1 + x * (1 - s)))


def mish(context: Context[Mish], x: Array) -> Result:
    """x·tanh(softplus(x)), in which tanh(softplus(x)) is m / (m + 2) with m = e^x·(e^x + 2)."""
    e = np.exp(np.minimum(x, 20))  # from 20 on the quotient is 1 in float64
    m = e * (e + 2)
    return x * (m / (m + 2)), by(lambda: m / (m + 2) + x * (4 * e * (e + 1) / np.square(m + 2)))


def sigmoid(context: Context[Sigmoid], x: Array) -> Result:
    """1 / (1 + exp(−x))."""
    y = logistic(x)
    return y, by(lambda: y * (1 - y))


def hard_sigmoid(context: Context[HardSigmoid], x: Array) -> Result:
    """min(max(slope·x + offset, 0), 1), as min(max(x + shift, 0), width) / width."""
    layer = context.layer
    moved = x + layer.shift
    inside = (moved > 0) & (moved < layer.width)
    return np.clip(moved, 0, layer.width) / layer.width, by(lambda: inside * x.dtype.type(layer.slope))


def tanh(context: Context[Tanh], x: Array) -> Result:
    """tanh(x)."""
    y = np.tanh(x)
    return y, by(lambda: 1 - y * y)


def hard_swish(context: Context[HardSwish], x: Array) -> Result:
    """x·min(max(x + 3, 0), 6) / 6."""
    gate = np.clip(x + 3, 0, 6) / 6
    return x * gate, by(lambda: np.where(abs(x) < 3, gate + np.clip(x, -3, 3) / 6, gate))


@np.errstate(over="ignore")
def softplus(context: Context[Softplus], x: Array) -> Result:
    """log(1 + exp(beta·x)) / beta."""
    beta = context.layer.beta
    # exp(−∞) is 0, so that far from zero max(x, 0) is left.
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(beta * x))) / beta, by(lambda: logistic(x, beta))


@np.errstate(over="ignore")
def softmax(context: Context[Softmax], x: Array) -> Result:
    """exp(x) / Σ exp(x) along the axis."""
    axis = 1 + context.layer.position(x.shape[1:])
    y = np.exp(x - x.max(axis, keepdims=True))
    y /= y.sum(axis, keepdims=True)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (y * (dy - (dy * y).sum(axis, keepdims=True)),), {}

    return y, backward


@np.errstate(over="ignore")
def log_softmax(context: Context[LogSoftmax], x: Array) -> Result:
    """x − log Σ exp(x) along the axis."""
    axis = 1 + context.layer.position(x.shape[1:])
    y = x - x.max(axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis, keepdims=True))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy - np.exp(y) * dy.sum(axis, keepdims=True),), {}

    return y, backward
