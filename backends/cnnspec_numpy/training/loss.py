"""Losses of a shard of the batch: its part of the mean over the whole batch, and dy, in place."""

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


def target_array(loss: Loss, y: Value, dtype: np.dtype[Any]) -> Array:
    """Return the array that the targets of a shard are copied to: class indices [n], or numbers [n, ...]."""
    return np.zeros(y.n, np.int64) if loss.targets == "classes" else np.zeros((y.n, *y.shape), dtype)


def cross_entropy(loss: CrossEntropy, y: Value, dy: Value, target: Array, value: Array, batch: int) -> Iterator[Call]:
    """−log softmax(y)[target], of which ε goes to all classes alike: y [c, n], target [n]."""
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
        value[0] = -(1 - epsilon) * float(picked.sum(dtype=np.float64)) / batch
        if epsilon:
            value[0] -= epsilon * (float(z.sum(dtype=np.float64)) / c - float(row.sum(dtype=np.float64))) / batch

    yield total
    if epsilon:
        yield partial(np.subtract, d, epsilon / c, out=d)
    yield partial(np.take, flat_d, index, out=picked, mode="clip")
    yield partial(np.subtract, picked, 1 - epsilon, out=picked)
    yield partial(np.put, flat_d, index, picked)
    yield partial(np.multiply, d, 1 / batch, out=d)


def mean_squared_error(
    loss: MeanSquaredError, y: Value, dy: Value, target: Array, value: Array, batch: int
) -> Iterator[Call]:
    """(y − target)², the mean over all elements: y and target [n, ...]."""
    size = batch * y.size // y.n
    d = dy.inner
    square = np.empty_like(d)
    yield partial(np.subtract, nchw(y), target, out=nchw(dy))
    yield partial(np.multiply, d, d, out=square)

    def total() -> None:
        value[0] = float(square.sum()) / size

    yield total
    yield partial(np.multiply, d, 2 / size, out=d)


def by_definition(loss: Loss, y: Value, dy: Value, target: Array, value: Array, batch: int) -> Iterator[Call]:
    """Any other loss, by the function that the interpreter uses: a mean over samples."""

    def call() -> None:
        value[0], d = losses.LOSSES[loss.kind](loss, np.ascontiguousarray(nchw(y)), target)
        value[0] *= y.n / batch
        np.multiply(d, y.n / batch, out=nchw(dy))

    yield call


LOSSES: dict[str, Callable[[Any, Value, Value, Array, Array, int], Iterator[Call]]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
}
