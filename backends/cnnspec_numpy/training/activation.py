"""Activations in training: the function and its derivative, block by block, so that their arrays stay in the cache.

A derivative is a function `(layer, v, slope, spare, constant)` that yields the calls which write dy/dx to `slope`, as
those of `plan/functions.py` do. v is the output where the derivative follows from it, so that it may lie where the
input lies, and else the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
from cnnspec_numpy.kernels.activation import SELU_ALPHA, SELU_SCALE
from cnnspec_numpy.plan.functions import (
    HARD_SIGMOID,
    Call,
    Constant,
    as_flags,
    clipped,
    function_of,
    hard_sigmoid,
    normal_distribution,
    sigmoid_of_negated,
    spares_of,
)
from cnnspec_numpy.plan.value import BATCH_LAST, shape_in
from cnnspec_numpy.training.calls import axes_of, block_size, in_blocks, keep_where_negative, over_channels, put
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.layers.activation import Elu, Gelu, HardSigmoid, LeakyRelu, Softplus

Derivative = Callable[[Any, Array, Array, Array, Constant], Iterator[Call]]


class Elementwise(Operation):
    """A function of each number by itself, which has no parameters."""

    in_place = True
    derivatives: ClassVar[dict[str, Derivative]] = {}

    def workspace(self, n: int) -> dict[str, int]:
        """Return the derivative of a block, what it takes to compute that, and dx where it is added to another's."""
        size = block_size(shape_in(BATCH_LAST, self.node.shape, n))
        return {"slope": size, "spare": spares_of(self.node.layer) * size, "part": size}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the function."""
        layer = self.node.layer
        function = function_of(layer)
        assert function is not None
        for x, y in in_blocks(job.x[0].inner, job.y.inner):
            yield from function(layer, x, y, self._spare(job, x), partial(job.constants.like, x))

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the derivative, and dx = dy · that."""
        if job.dx[0] is None or job.dy is None:
            return
        known = job.y if self.keeps_output else job.x[0]
        for v, dy, dx in in_blocks(known.inner, job.dy.inner, job.dx[0].inner):
            slope, part = (job.work(key)[: v.size].reshape(v.shape) for key in ("slope", "part"))
            result = part if job.adds[0] else dx
            yield from self._product(v, dy, result, slope, self._spare(job, v), partial(job.constants.like, v))
            if job.adds[0]:
                yield put(result, dx, True)

    def _spare(self, job: Job, x: Array) -> Array:
        count = spares_of(self.node.layer)
        return job.work("spare")[: count * x.size].reshape(count, *x.shape)

    def _product(
        self, v: Array, dy: Array, out: Array, slope: Array, spare: Array, constant: Constant
    ) -> Iterator[Call]:
        """Yield out = dy · derivative; out may be dy."""
        yield from self.derivatives[self.node.kind](self.node.layer, v, slope, spare, constant)
        yield partial(np.multiply, dy, slope, out=out)


# Derivatives by the output


def _sigmoid(layer: Any, y: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """y·(1 − y)."""
    yield partial(np.subtract, 1.0, y, out=slope)
    yield partial(np.multiply, slope, y, out=slope)


def _tanh(layer: Any, y: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """1 − y²."""
    yield partial(np.multiply, y, y, out=slope)
    yield partial(np.subtract, 1.0, slope, out=slope)


def _leaky_relu(layer: LeakyRelu, y: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """1 where y is positive, the slope elsewhere: their mean plus or minus half of the difference."""
    yield partial(np.subtract, 0.0, y, out=slope)
    yield partial(np.copysign, (1 - layer.slope) / 2, slope, out=slope)
    yield partial(np.subtract, (1 + layer.slope) / 2, slope, out=slope)


class ByOutput(Elementwise):
    """An activation whose derivative follows from its output."""

    keeps_output = True
    derivatives: ClassVar = {"sigmoid": _sigmoid, "tanh": _tanh, "leaky_relu": _leaky_relu}

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the sign of the output is that of the input, where the derivative follows from it."""
        return node.kind != "leaky_relu" or 0 < node.layer.slope <= 1  # type: ignore[attr-defined]


class Rectifier(Elementwise):
    """relu and relu6: dy where 0 < y (and y < 6), and 0 elsewhere, told by the signs of −y and y − 6."""

    keeps_output = True

    def _product(
        self, v: Array, dy: Array, out: Array, slope: Array, spare: Array, constant: Constant
    ) -> Iterator[Call]:
        yield partial(np.subtract, 0.0, v, out=slope)
        yield from keep_where_negative(slope, dy, out)
        if self.node.kind == "relu6":
            yield partial(np.subtract, v, 6.0, out=slope)
            yield from keep_where_negative(slope, out, out)


# Derivatives by the input


def _stepped(x: Array, slope: Array, above: float, spare: Array) -> Iterator[Call]:
    """Write a number to the derivative where x is positive."""
    positive = as_flags(spare[0])
    yield partial(np.greater, x, 0, out=positive)
    yield partial(np.putmask, slope, positive, above)


def _any_leaky_relu(layer: LeakyRelu, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """1 where x is positive, the slope elsewhere."""
    yield partial(slope.fill, layer.slope)
    yield from _stepped(x, slope, 1.0, spare)


def _elu(layer: Elu, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """1 where x is positive, alpha·exp(x) elsewhere."""
    yield from _scaled_elu(1.0, layer.alpha, x, slope, spare, constant)


def _selu(layer: Any, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """The derivative of elu with its own alpha, scaled."""
    yield from _scaled_elu(SELU_SCALE, SELU_ALPHA, x, slope, spare, constant)


def _scaled_elu(scale: float, alpha: float, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    yield partial(np.minimum, x, constant(0), out=slope)
    yield partial(np.exp, slope, out=slope)
    yield partial(np.multiply, slope, scale * alpha, out=slope)
    yield from _stepped(x, slope, scale, spare)


def _silu(layer: Any, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """s·(1 + x·(1 − s)) with s = sigmoid(x)."""
    s = spare[0]
    yield partial(np.multiply, x, -1.0, out=s)
    yield from sigmoid_of_negated(s, s)
    yield partial(np.subtract, 1.0, s, out=slope)
    yield partial(np.multiply, slope, x, out=slope)
    yield partial(np.add, slope, 1.0, out=slope)
    yield partial(np.multiply, slope, s, out=slope)


def _softplus(layer: Softplus, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """sigmoid(beta·x)."""
    yield partial(np.multiply, x, -layer.beta, out=slope)
    yield from sigmoid_of_negated(slope, slope)


def _where_steep(x: Array, source: Array, out: Array, limit: float = 3.0) -> Iterator[Call]:
    """out = source where |x| < limit, and 0 elsewhere: |x| − limit is negative there."""
    yield partial(np.abs, x, out=out)
    yield partial(np.subtract, out, limit, out=out)
    yield from keep_where_negative(out, source, out)


def _hard_sigmoid(layer: HardSigmoid, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """The slope where |x + shift − width/2| < width/2: |x| < 3 by default."""
    yield partial(np.add, x, layer.shift - layer.width / 2, out=slope)
    yield from _where_steep(slope, constant(layer.slope), slope, layer.width / 2)


def _hard_swish(layer: Any, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """hard_sigmoid(x), and x / 6 where |x| < 3."""
    steep = spare[0]
    yield from _where_steep(x, x, steep)
    yield partial(np.divide, steep, 6.0, out=steep)
    yield from hard_sigmoid(HARD_SIGMOID, x, slope, spare, constant)
    yield partial(np.add, slope, steep, out=slope)


def _gelu(layer: Gelu, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """Φ(x) + x·φ(x), with φ the derivative of Φ."""
    yield from normal_distribution(layer, x, spare, constant)
    phi, rest = spare[0], spare[1]
    if layer.approximate == "none":
        # exp(−x²/2) / √(2π)
        yield partial(np.multiply, x, x, out=slope)
        yield partial(np.multiply, slope, -0.5, out=slope)
        yield partial(np.exp, slope, out=slope)
        yield partial(np.multiply, slope, 1 / math.sqrt(2 * math.pi), out=slope)
    else:
        # 2·Φ·(1 − Φ)·√(2/π)·(1 + 3·0.044715·x²): 1 − tanh² is 4·Φ·(1 − Φ).
        factor = 2 * math.sqrt(2 / math.pi)
        yield from clipped(x, 10, slope, constant)
        yield partial(np.multiply, slope, slope, out=slope)
        yield partial(np.multiply, slope, 3 * 0.044715 * factor, out=slope)
        yield partial(np.add, slope, factor, out=slope)
        yield partial(np.subtract, 1.0, phi, out=rest)
        yield partial(np.multiply, rest, phi, out=rest)
        yield partial(np.multiply, slope, rest, out=slope)
    yield partial(np.multiply, slope, x, out=slope)
    yield partial(np.add, slope, phi, out=slope)


def _mish(layer: Any, x: Array, slope: Array, spare: Array, constant: Constant) -> Iterator[Call]:
    """m / (m + 2) + x·4·(m − e) / (m + 2)² with e = e^x and m = e·(e + 2)."""
    e, m = spare[:2]
    yield partial(np.minimum, x, constant(20), out=e)
    yield partial(np.exp, e, out=e)
    yield partial(np.add, e, 2.0, out=m)
    yield partial(np.multiply, m, e, out=m)
    yield partial(np.subtract, m, e, out=e)
    yield partial(np.multiply, e, 4.0, out=e)
    yield partial(np.multiply, e, x, out=e)
    yield partial(np.add, m, 2.0, out=slope)
    yield partial(np.divide, m, slope, out=m)
    yield partial(np.multiply, slope, slope, out=slope)
    yield partial(np.divide, e, slope, out=e)
    yield partial(np.add, e, m, out=slope)


class ByInput(Elementwise):
    """An activation whose derivative follows from its input."""

    keeps_input = True
    derivatives: ClassVar = {
        "leaky_relu": _any_leaky_relu,
        "elu": _elu,
        "selu": _selu,
        "silu": _silu,
        "softplus": _softplus,
        "hard_sigmoid": _hard_sigmoid,
        "hard_swish": _hard_swish,
        "gelu": _gelu,
        "mish": _mish,
    }


class Prelu(Operation):
    """x where positive, weight·x elsewhere: max(x, 0) + weight·min(x, 0)."""

    keeps_input = True
    in_place = True

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the parts of the output, and for the derivative."""
        size = n * math.prod(self.node.shape)
        return {"slope": size, "part": size}

    def _work(self, job: Job) -> tuple[Array, Array]:
        shape = job.y.inner_shape
        return job.work("slope").reshape(shape), job.work("part").reshape(shape)

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield both parts."""
        x, y = job.x[0].inner, job.y.inner
        below, _ = self._work(job)
        zero = job.constants.like(x, 0)
        yield partial(np.minimum, x, zero, out=below)
        yield partial(np.multiply, below, over_channels(job.weights["weight"], x), out=below)
        yield partial(np.maximum, x, zero, out=y)
        yield partial(np.add, y, below, out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield Σ dy·min(x, 0), and dx."""
        assert job.dy is not None
        x, dy = job.x[0].inner, job.dy.inner
        slope, part = self._work(job)
        if "weight" in job.gradients:
            gradient, axes = job.gradients["weight"], axes_of(x)
            shared = len(gradient) == 1
            yield partial(np.minimum, x, job.constants.like(x, 0), out=part)
            into = gradient.reshape(()) if shared else gradient
            yield partial(np.einsum, f"{axes},{axes}->{'' if shared else 'c'}", dy, part, out=into)
        if job.dx[0] is None:
            return
        yield partial(np.copyto, slope, over_channels(job.weights["weight"], x))
        yield from _stepped(x, slope, 1.0, part[None])
        dx = job.dx[0].inner
        result = part if job.adds[0] else dx
        yield partial(np.multiply, dy, slope, out=result)
        if job.adds[0]:
            yield put(result, dx, True)
