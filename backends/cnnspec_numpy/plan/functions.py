"""Elementwise functions as calls that are bound to their arrays and allocate nothing.

Each is a function `(layer, x, out, spare, constant)` that yields calls: out and x may be the same array, `spare` is an
array of their shape to work in, and `constant(v)` an array that broadcasts to it. NumPy's maximum and minimum are
several times faster with an array than with a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers import Layer
from cnnspec.layers.activation import Elu, Gelu, LeakyRelu, Softplus
from cnnspec.layers.norm import Scale
from cnnspec_numpy.kernels.activation import SELU_ALPHA, SELU_SCALE

Call = Callable[[], Any]
Constant = Callable[[float], Array]
Function = Callable[[Any, Array, Array, Array, Constant], Iterator[Call]]


def relu(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """max(x, 0)."""
    yield partial(np.maximum, x, constant(0), out=out)


def relu6(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """min(max(x, 0), 6)."""
    yield partial(np.maximum, x, constant(0), out=out)
    yield partial(np.minimum, out, constant(6), out=out)


def leaky_relu(layer: LeakyRelu, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """max(x, slope·x) for a slope up to 1, and the minimum above."""
    if not layer.slope:
        yield from relu(layer, x, out, spare, constant)  # 0 · ∞ is no number
        return
    yield partial(np.multiply, x, layer.slope, out=spare)
    yield partial(np.maximum if layer.slope <= 1 else np.minimum, x, spare, out=out)


def sigmoid(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """1 / (1 + exp(−x))."""
    yield partial(np.multiply, x, -1.0, out=out)
    yield from sigmoid_of_negated(out, out)


def sigmoid_of_negated(x: Array, out: Array) -> Iterator[Call]:
    """1 / (1 + exp(x)), the sigmoid of −x."""
    yield partial(np.exp, x, out=out)
    yield partial(np.add, out, 1.0, out=out)
    yield partial(np.reciprocal, out, out=out)


def tanh(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """tanh(x)."""
    yield partial(np.tanh, x, out=out)


def silu(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x / (1 + exp(−x))."""
    yield partial(np.multiply, x, -1.0, out=spare)
    yield partial(np.exp, spare, out=spare)
    yield partial(np.add, spare, 1.0, out=spare)
    yield partial(np.divide, x, spare, out=out)


def hard_sigmoid(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """min(max(x + 3, 0), 6) / 6."""
    yield partial(np.add, x, 3.0, out=out)
    yield from relu6(layer, out, out, spare, constant)
    yield partial(np.divide, out, 6.0, out=out)


def hard_swish(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x·min(max(x + 3, 0), 6) / 6."""
    yield from hard_sigmoid(layer, x, spare, spare, constant)
    yield partial(np.multiply, x, spare, out=out)


def elu(layer: Elu, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x where positive, alpha·(exp(x) − 1) elsewhere: each part is zero where the other holds."""
    yield from _elu(x, out, spare, constant, 1.0, layer.alpha)


def selu(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """elu with its own alpha, scaled."""
    yield from _elu(x, out, spare, constant, SELU_SCALE, SELU_ALPHA)


def _elu(x: Array, out: Array, spare: Array, constant: Constant, scale: float, alpha: float) -> Iterator[Call]:
    yield partial(np.minimum, x, constant(0), out=spare)
    yield partial(np.expm1, spare, out=spare)
    yield partial(np.multiply, spare, scale * alpha, out=spare)
    yield partial(np.maximum, x, constant(0), out=out)
    if scale != 1:
        yield partial(np.multiply, out, scale, out=out)
    yield partial(np.add, out, spare, out=out)


def softplus(layer: Softplus, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """max(x, 0) + log(1 + exp(−|beta·x|)) / beta."""
    yield partial(np.abs, x, out=spare)
    yield partial(np.multiply, spare, -layer.beta, out=spare)
    yield partial(np.exp, spare, out=spare)
    yield partial(np.log1p, spare, out=spare)
    yield partial(np.divide, spare, layer.beta, out=spare)
    yield partial(np.maximum, x, constant(0), out=out)
    yield partial(np.add, out, spare, out=out)


def gelu(layer: Gelu, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x·Φ(x) in its tanh form, x / (1 + exp(−2·√(2/π)·(x + 0.044715·x³)))."""
    # From ±10 on, Φ is 0 or 1 in float64; powers of larger numbers would overflow.
    yield partial(np.maximum, x, constant(-10), out=spare)
    yield partial(np.minimum, spare, constant(10), out=spare)
    square = np.empty_like(spare)
    factor = -2 * math.sqrt(2 / math.pi)
    yield partial(np.multiply, spare, spare, out=square)
    yield partial(np.multiply, square, factor * 0.044715, out=square)
    yield partial(np.add, square, factor, out=square)
    yield partial(np.multiply, square, spare, out=spare)
    yield partial(np.exp, spare, out=spare)
    yield partial(np.add, spare, 1.0, out=spare)
    yield partial(np.divide, x, spare, out=out)


def scale(layer: Scale, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """value · x."""
    yield partial(np.multiply, x, layer.value, out=out)


FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        relu, relu6, leaky_relu, sigmoid, tanh, silu, hard_sigmoid, hard_swish, elu, selu, softplus, gelu, scale,
    )
}  # fmt: skip
"""By kind; a layer that is not here is computed by its kernel."""


def function_of(layer: Layer) -> Function | None:
    """Return the function of a layer, if there is one."""
    if isinstance(layer, Gelu) and layer.approximate == "none":
        return None
    return FUNCTIONS.get(layer.kind)


PASSES = {"relu": 1, "relu6": 2, "tanh": 6, "sigmoid": 8, "silu": 9, "scale": 1}
"""How long a function takes, in passes over an array in the cache; 8 where it is not here."""
