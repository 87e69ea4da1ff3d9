"""The definitions of saturating functions and of those of arithmetic, number by number."""

from __future__ import annotations

import math

from cnnspec.layers import function
from cnnspec.testing.functions import elementwise


@elementwise
def clip(layer: function.Clip, x: float) -> float:
    """min(max(x, min), max), of the limits that there are."""
    if layer.min is not None:
        x = max(x, layer.min)
    return x if layer.max is None else min(x, layer.max)


@elementwise
def hard_tanh(layer: function.HardTanh, x: float) -> float:
    """min(max(x, min), max)."""
    return min(max(x, layer.min), layer.max)


@elementwise
def thresholded_relu(layer: function.ThresholdedRelu, x: float) -> float:
    """x, or 0 up to alpha."""
    return x if x > layer.alpha else 0.0


@elementwise
def celu(layer: function.Celu, x: float) -> float:
    """max(x, 0) + min(alpha·(exp(x / alpha) − 1), 0)."""
    return max(x, 0.0) + min(layer.alpha * math.expm1(x / layer.alpha), 0.0)


@elementwise
def softsign(layer: function.Softsign, x: float) -> float:
    """x / (1 + |x|)."""
    return x / (1 + math.fabs(x))


@elementwise
def log_sigmoid(layer: function.LogSigmoid, x: float) -> float:
    """log(1 / (1 + exp(−x)))."""
    return -math.log1p(math.exp(-x))


@elementwise
def abs_(layer: function.Abs, x: float) -> float:
    """|x|."""
    return math.fabs(x)


@elementwise
def exp(layer: function.Exp, x: float) -> float:
    """e^x."""
    return math.exp(x)


@elementwise
def log(layer: function.Log, x: float) -> float:
    """log x; −∞ at zero, and no number below."""
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


@elementwise
def sqrt(layer: function.Sqrt, x: float) -> float:
    """√x; no number below zero."""
    return math.sqrt(x) if x >= 0 else math.nan


@elementwise
def power(layer: function.Power, x: float) -> float:
    """x^exponent; no number below zero with an exponent that is not whole, ±∞ or ∞ at zero with a negative one."""
    if x < 0 and not layer.exponent.is_integer():
        return math.nan
    return math.inf if x == 0 and layer.exponent < 0 else x**layer.exponent
