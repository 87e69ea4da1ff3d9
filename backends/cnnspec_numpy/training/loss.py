"""Losses of a shard of the batch: its part of the loss of the whole step, and dy, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy import losses
from cnnspec_numpy.plan.finish import nchw
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.value import Value

from cnnspec.arrays import Array
from cnnspec.graph.training import CrossEntropy, Loss, MeanSquaredError


class Factor:
    """What a loss and its gradient are multiplied by: the weight divided by the normalizer, which each step sets."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.value = 0.0
        self.array = np.zeros((), dtype)

    def set(self, value: float) -> None:
        """Set it for the following run."""
        self.value = value
        self.array[...] = value


def target_array(loss: Loss, soft: bool, y: Value, dtype: np.dtype[Any]) -> Array:
    """Return the array that the targets of a shard are copied to: class indices [n, ...], or numbers [n, ...]."""
    if loss.targets == "classes" and not soft:
        return np.zeros((y.n, *loss.target_shape(y.shape)), np.int64)
    return np.zeros((y.n, *y.shape), dtype)


def cross_entropy(
    loss: CrossEntropy, y: Value, dy: Value, target: Array, value: Array, factor: Factor
) -> Iterator[Call]:
    """−log softmax(y)[target], of which ε goes to all classes alike: y [c, n], target [n].

    Maps, probabilities as targets, weights of classes and ignored ones are computed by the definition.
    """
    if len(y.shape) > 1 or target.dtype != np.int64 or loss.class_weights or loss.ignore is not None:
        yield from by_definition(loss, y, dy, target, value, factor)
        return
    logits, d = y.inner, dy.inner
    c, n = logits.shape
    epsilon = loss.label_smoothing
    z, row, picked = np.empty_like(logits), np.empty(n, logits.dtype), np.empty(n, logits.dtype)
    index, samples = np.empty(n, np.int64), np.arange(n)
    flat_d, flat_z = d.reshape(-1), z.reshape(-1)
    yield partial(np.maximum.reduce, logits, axis=0, out=row)
    yield partial(np.subtract, logits, row, out=z)
    yield partial(np.exp, z, out=d)
    yield partial(np.add.reduce, d, axis=0, out=row)
    yield partial(np.divide, d, row, out=d)
    yield partial(np.log, row, out=row)
    # The places of the targets among the elements [c, n].
    yield partial(np.multiply, target, n, out=index)
    yield partial(np.add, index, samples, out=index)
    yield partial(np.take, flat_z, index, out=picked, mode="clip")
    yield partial(np.subtract, picked, row, out=picked)

    def total() -> None:
        value[0] = -(1 - epsilon) * float(picked.sum(dtype=np.float64)) * factor.value
        if epsilon:
            spread = float(z.sum(dtype=np.float64)) / c - float(row.sum(dtype=np.float64))
            value[0] -= epsilon * spread * factor.value

    yield total
    if epsilon:
        yield partial(np.subtract, d, epsilon / c, out=d)
    yield partial(np.take, flat_d, index, out=picked, mode="clip")
    yield partial(np.subtract, picked, 1 - epsilon, out=picked)
    yield partial(np.put, flat_d, index, picked)
    yield partial(np.multiply, d, factor.array, out=d)


def mean_squared_error(
    loss: MeanSquaredError, y: Value, dy: Value, target: Array, value: Array, factor: Factor
) -> Iterator[Call]:
    """(y − target)²: y and target [n, ...]."""
    d = dy.inner
    square = np.empty_like(d)
    yield partial(np.subtract, nchw(y), target, out=nchw(dy))
    yield partial(np.multiply, d, d, out=square)

    def total() -> None:
        value[0] = float(square.sum()) * factor.value

    yield total
    yield partial(np.multiply, d, 2, out=d)
    yield partial(np.multiply, d, factor.array, out=d)


def by_definition(loss: Loss, y: Value, dy: Value, target: Array, value: Array, factor: Factor) -> Iterator[Call]:
    """Any loss, by the function that the interpreter uses."""

    def call() -> None:
        total, d = losses.LOSSES[loss.kind](loss, np.ascontiguousarray(nchw(y)), target)
        value[0] = total * factor.value
        np.multiply(d, factor.array, out=nchw(dy))

    yield call


LOSSES: dict[str, Callable[[Any, Value, Value, Array, Array, Factor], Iterator[Call]]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
}
