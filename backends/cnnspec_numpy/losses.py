"""Losses: the loss of a batch and its gradient by the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.backend import Array, BackendError
from cnnspec.graph import Graph
from cnnspec.layers.base import by
from cnnspec.settings import Choice, CrossEntropy, MeanSquaredError


def check(loss: Choice, graph: Graph) -> None:
    """Cross-entropy needs one logit a class; an image is a BackendError."""
    shape = graph.output.shape
    if loss.kind == "cross_entropy" and len(shape) != 1:
        raise BackendError(
            f"cross_entropy takes a vector with one logit for each class, and `{graph.output.name}` makes an image "
            f"of {by(shape)}: end the network with `flatten`, `global_avg_pool` or `dense`, "
            "or train with mean_squared_error"
        )


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
