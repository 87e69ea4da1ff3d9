"""Values of the losses in float64, which evaluation reports and the conformance kit differentiates.

A loss is defined in `cnnspec.graph.training`; each backend has its own value and gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import CrossEntropy, Loss, MeanSquaredError


def value(loss: Loss, y: Array, target: Array) -> float:
    """Return the loss of a batch: y [n, ...], target [n] class indices or [n, ...] numbers."""
    return LOSSES[loss.kind](loss, y.astype(np.float64), target)


def cross_entropy(loss: CrossEntropy, y: Array, target: Array) -> float:
    """Mean over the batch of −Σ q[c] · log p[c], with p = softmax(y): y [n, c], target [n].

    q is 1 for the target class; label smoothing spreads that fraction of it equally over all classes.
    """
    shifted = y - y.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    q = np.full(y.shape, loss.label_smoothing / y.shape[1])
    q[np.arange(len(y)), target] += 1 - loss.label_smoothing
    # A class without weight counts nothing, even where its logit is −∞.
    return float(-np.where(q > 0, q * log_p, 0).sum(axis=1).mean())


def mean_squared_error(loss: MeanSquaredError, y: Array, target: Array) -> float:
    """Mean over all elements of (y − target)²: y and target [n, ...]."""
    return float(np.square(y - target).mean())


LOSSES: dict[str, Callable[[Any, Array, Array], float]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
}
