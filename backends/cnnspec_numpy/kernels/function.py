"""Further functions of each number: y and dy/dx of each, without warnings outside of their domains."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers.function import (
    Abs,
    Celu,
    Clip,
    Clipped,
    Exp,
    HardTanh,
    Log,
    LogSigmoid,
    Power,
    Softsign,
    Sqrt,
    ThresholdedRelu,
)
from cnnspec_numpy.kernels.activation import by, logistic
from cnnspec_numpy.kernels.base import Context, Result


def clip(context: Context[Clip], x: Array) -> Result:
    """min(max(x, min), max)."""
    return _clipped(context.layer, x)


def hard_tanh(context: Context[HardTanh], x: Array) -> Result:
    """min(max(x, min), max)."""
    return _clipped(context.layer, x)


def _clipped(layer: Clipped, x: Array) -> Result:
    low, high = layer.limits
    return np.clip(x, low, high), by(lambda: (x > low) & (x < high))


def thresholded_relu(context: Context[ThresholdedRelu], x: Array) -> Result:
    """x where greater than alpha, 0 elsewhere."""
    above = x > context.layer.alpha
    return np.where(above, x, x.dtype.type(0)), by(lambda: above)


def celu(context: Context[Celu], x: Array) -> Result:
    """x where positive, alpha·(exp(x / alpha) − 1) elsewhere."""
    alpha = context.layer.alpha
    below = np.minimum(x, 0) / alpha
    return np.where(x > 0, x, alpha * np.expm1(below)), by(lambda: np.exp(below))


def softsign(context: Context[Softsign], x: Array) -> Result:
    """x / (1 + |x|)."""
    below = 1 + abs(x)
    return x / below, by(lambda: np.square(1 / below))


@np.errstate(over="ignore")
def log_sigmoid(context: Context[LogSigmoid], x: Array) -> Result:
    """min(x, 0) − log(1 + exp(−|x|))."""
    return np.minimum(x, 0) - np.log1p(np.exp(-abs(x))), by(lambda: logistic(-x))


def abs_(context: Context[Abs], x: Array) -> Result:
    """|x|."""
    return np.abs(x), by(lambda: np.sign(x))


@np.errstate(over="ignore")
def exp(context: Context[Exp], x: Array) -> Result:
    """exp(x)."""
    y = np.exp(x)
    return y, by(lambda: y)


@np.errstate(divide="ignore", invalid="ignore")
def log(context: Context[Log], x: Array) -> Result:
    """log(x)."""

    @np.errstate(divide="ignore")
    def slope() -> Array:
        return np.reciprocal(x)

    return np.log(x), by(slope)


@np.errstate(invalid="ignore")
def sqrt(context: Context[Sqrt], x: Array) -> Result:
    """√x."""
    y = np.sqrt(x)

    @np.errstate(divide="ignore")
    def slope() -> Array:
        return 0.5 / y

    return y, by(slope)


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def power(context: Context[Power], x: Array) -> Result:
    """x^exponent."""
    exponent = context.layer.exponent

    @np.errstate(divide="ignore", over="ignore", invalid="ignore")
    def slope() -> Array:
        return exponent * np.power(x, exponent - 1) if exponent else np.zeros_like(x)

    return np.power(x, exponent), by(slope)
