"""Losses: the loss of a batch and its gradient by the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import CrossEntropy, MeanSquaredError


def cross_entropy(loss: CrossEntropy, y: Array, target: Array) -> tuple[float, Array]:
    """Mean of −log softmax(y)[target], of which ε goes to all classes alike: y [n, c], target [n]."""
    n, c = y.shape
    epsilon, at = loss.label_smoothing, (np.arange(n), target)
    with np.errstate(over="ignore"):
        log_p = y - y.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    value = -(1 - epsilon) * float(log_p[at].mean())
    if epsilon:
        value -= epsilon * float(log_p.mean())
    dy = np.exp(log_p) - epsilon / c
    dy[at] -= 1 - epsilon
    return value, dy / n


def mean_squared_error(loss: MeanSquaredError, y: Array, target: Array) -> tuple[float, Array]:
    """Mean of (y − target)² over all elements: y [n, ...], target [n, ...]."""
    difference = y - target
    return float(np.square(difference).mean()), difference * (2 / y.size)


LOSSES: dict[str, Callable[[Any, Array, Array], tuple[float, Array]]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
}
