"""Elementwise functions as calls that are bound to their arrays and allocate nothing.

Each is a function `(layer, x, out, spare, constant)` that yields calls: out and x may be the same array, `spare` holds
`spares_of(layer)` contiguous arrays of their shape to work in, and `constant(v)` is an array that broadcasts to it.
NumPy's maximum and minimum are several times faster with an array than with a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers import Layer
from cnnspec.layers.activation import Elu, Gelu, HardSigmoid, LeakyRelu, Softplus
from cnnspec.layers.norm import Scale, Shift
from cnnspec_numpy.kernels.activation import SELU_ALPHA, SELU_SCALE
from cnnspec_numpy.kernels.erf import _BEYOND, _NEAR_ZERO

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
    work = spare[0]
    if not layer.slope:
        yield from relu(layer, x, out, spare, constant)  # 0 · ∞ is no number
        return
    yield partial(np.multiply, x, layer.slope, out=work)
    yield partial(np.maximum if layer.slope <= 1 else np.minimum, x, work, out=out)


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
    work = spare[0]
    yield partial(np.multiply, x, -1.0, out=work)
    yield partial(np.exp, work, out=work)
    yield partial(np.add, work, 1.0, out=work)
    yield partial(np.divide, x, work, out=out)


def hard_sigmoid(layer: HardSigmoid, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """min(max(x + shift, 0), width) / width."""
    yield partial(np.add, x, layer.shift, out=out)
    yield partial(np.maximum, out, constant(0), out=out)
    yield partial(np.minimum, out, constant(layer.width), out=out)
    yield partial(np.divide, out, layer.width, out=out)


HARD_SIGMOID = HardSigmoid()
"""min(max(x + 3, 0), 6) / 6."""


def hard_swish(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x·min(max(x + 3, 0), 6) / 6."""
    work = spare[0]
    yield from hard_sigmoid(HARD_SIGMOID, x, work, spare, constant)
    yield partial(np.multiply, x, work, out=out)


def elu(layer: Elu, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x where positive, alpha·(exp(x) − 1) elsewhere: each part is zero where the other holds."""
    yield from _elu(x, out, spare[0], constant, 1.0, layer.alpha)


def selu(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """elu with its own alpha, scaled."""
    yield from _elu(x, out, spare[0], constant, SELU_SCALE, SELU_ALPHA)


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
    work = spare[0]
    yield partial(np.abs, x, out=work)
    yield partial(np.multiply, work, -layer.beta, out=work)
    yield partial(np.exp, work, out=work)
    yield partial(np.log1p, work, out=work)
    yield partial(np.divide, work, layer.beta, out=work)
    yield partial(np.maximum, x, constant(0), out=out)
    yield partial(np.add, out, work, out=out)


def gelu(layer: Gelu, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x·Φ(x), or its tanh form."""
    yield from normal_distribution(layer, x, spare, constant)
    yield partial(np.multiply, x, spare[0], out=out)


def normal_distribution(layer: Gelu, x: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """Φ(x) in the first of four spare arrays, as (1 + erf(x / √2)) / 2 or its tanh form."""
    first, inner, square, _ = spare
    if layer.approximate == "none":
        yield from _erf(x, spare, constant)
    else:
        # From ±10 on, the tangent is ±1 in float64; powers of larger numbers would overflow.
        yield from clipped(x, 10, inner, constant)
        yield partial(np.multiply, inner, inner, out=square)
        yield partial(np.multiply, square, 0.044715, out=square)
        yield partial(np.add, square, 1.0, out=square)
        yield partial(np.multiply, square, inner, out=square)
        yield partial(np.multiply, square, math.sqrt(2 / math.pi), out=square)
        yield partial(np.tanh, square, out=first)
    yield partial(np.add, first, 1.0, out=first)
    yield partial(np.multiply, first, 0.5, out=first)


def _erf(x: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """erf(x / √2) in the first of four spare arrays, by the rational functions of the kernel."""
    found, t, near, below = spare
    root = math.sqrt(0.5)
    yield partial(np.multiply, x, root, out=t)
    yield from clipped(t, NEAR, t, constant)
    yield partial(np.multiply, t, t, out=found)
    yield from _ratio(_NEAR_ZERO, found, near, below)
    yield partial(np.multiply, near, t, out=near)
    yield partial(np.multiply, x, root, out=t)
    yield partial(np.abs, t, out=t)
    yield partial(np.maximum, t, constant(NEAR), out=t)
    yield partial(np.minimum, t, constant(6), out=t)  # erf(6) is 1 in float64
    yield from _ratio(_BEYOND, t, found, below)
    yield partial(np.multiply, t, t, out=below)
    yield partial(np.multiply, below, -1.0, out=below)
    yield partial(np.exp, below, out=below)
    yield partial(np.multiply, found, below, out=found)
    yield partial(np.subtract, 1.0, found, out=found)
    yield partial(np.copysign, found, x, out=found)
    is_near = as_flags(below)
    yield partial(np.less_equal, t, NEAR, out=is_near)
    yield partial(np.putmask, found, is_near, near)


NEAR = 0.46875
"""Up to here, erf has a rational function of its own."""


def _ratio(series: tuple[tuple[float, ...], tuple[float, ...]], x: Array, out: Array, below: Array) -> Iterator[Call]:
    """The quotient of two polynomials, the highest power first."""
    for (first, second, *others), total in zip(series, (out, below), strict=True):
        yield partial(np.multiply, x, first, out=total)
        yield partial(np.add, total, second, out=total)
        for other in others:
            yield partial(np.multiply, total, x, out=total)
            yield partial(np.add, total, other, out=total)
    yield partial(np.divide, out, below, out=out)


def clipped(x: Array, limit: float, out: Array, constant: Constant) -> Iterator[Call]:
    """min(max(x, −limit), limit)."""
    yield partial(np.maximum, x, constant(-limit), out=out)
    yield partial(np.minimum, out, constant(limit), out=out)


def as_flags(x: Array) -> Array:
    """Return memory of a contiguous array as an array of booleans of its shape."""
    return x.reshape(-1).view(np.bool_)[: x.size].reshape(x.shape)


def mish(layer: Layer, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x·m / (m + 2) with m = e^x·(e^x + 2)."""
    m, above = spare[:2]
    yield partial(np.minimum, x, constant(20), out=m)  # from 20 on the quotient is 1 in float64
    yield partial(np.exp, m, out=m)
    yield partial(np.add, m, 2.0, out=above)
    yield partial(np.multiply, m, above, out=m)
    yield partial(np.add, m, 2.0, out=above)
    yield partial(np.divide, m, above, out=m)
    yield partial(np.multiply, x, m, out=out)


def scale(layer: Scale, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """value · x."""
    yield partial(np.multiply, x, layer.value, out=out)


def shift(layer: Shift, x: Array, out: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """x + value."""
    yield partial(np.add, x, layer.value, out=out)


# Over the channels


def softmax(x: Array, out: Array, sums: Array, axis: int) -> Iterator[Call]:
    """exp(x) / Σ exp(x) along an axis, of which `sums` has one element; out and x may be the same array."""
    yield partial(np.maximum.reduce, x, axis=axis, keepdims=True, out=sums)
    yield partial(np.subtract, x, sums, out=out)
    yield partial(np.exp, out, out=out)
    yield partial(np.add.reduce, out, axis=axis, keepdims=True, out=sums)
    yield partial(np.divide, out, sums, out=out)


def log_softmax(x: Array, out: Array, spare: Array, sums: Array, axis: int) -> Iterator[Call]:
    """x − log Σ exp(x) along an axis, of which `sums` has one element; out and x may be the same array."""
    yield partial(np.maximum.reduce, x, axis=axis, keepdims=True, out=sums)
    yield partial(np.subtract, x, sums, out=out)
    yield partial(np.exp, out, out=spare)
    yield partial(np.add.reduce, spare, axis=axis, keepdims=True, out=sums)
    yield partial(np.log, sums, out=sums)
    yield partial(np.subtract, out, sums, out=out)


def neighbour_sums(x: Array, out: Array, axis: int, size: int, before: int) -> Iterator[Call]:
    """The sums of `size` neighbours along an axis, `before` of which come before an element; zeros beyond the ends."""
    count = x.shape[axis]

    def part(a: Array, first: int, end: int) -> Array:
        return np.moveaxis(a, axis, 0)[first:end]

    yield partial(out.fill, 0)
    for offset in range(-before, size - before):
        first, end = max(0, -offset), min(count, count - offset)
        if first < end:
            place = part(out, first, end)
            yield partial(np.add, place, part(x, first + offset, end + offset), out=place)


FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        relu, relu6, leaky_relu, sigmoid, tanh, silu, hard_sigmoid, hard_swish, elu, selu, softplus, gelu,
        mish, scale, shift,
    )
}  # fmt: skip
"""By kind; a layer that is not here is computed by its kernel."""


def function_of(layer: Layer) -> Function | None:
    """Return the function of a layer, if there is one."""
    return FUNCTIONS.get(layer.kind)


def spares_of(layer: Layer) -> int:
    """Return how many arrays the function of a layer works in."""
    return SPARES.get(layer.kind, 1)


SPARES = {"gelu": 4, "mish": 2}
"""How many arrays a function works in; 1 where it is not here."""

PASSES = {"relu": 1, "relu6": 2, "tanh": 6, "sigmoid": 8, "silu": 9, "gelu": 40, "mish": 12, "scale": 1, "shift": 1}
"""How long a function takes, in passes over an array in the cache; 8 where it is not here."""
