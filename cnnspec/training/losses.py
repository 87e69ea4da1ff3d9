"""The losses by definition, in float64, which evaluation reports and the conformance kit differentiates.

A loss is described in `cnnspec.graph.training`; each backend has its own value and gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import L1, BinaryCrossEntropy, CrossEntropy, Dice, Huber, Loss, MeanSquaredError
from cnnspec.runtime.step import normalizer


def value(loss: Loss, y: Array, target: Array) -> float:
    """Return the loss of a batch, without its weight: y [n, ...], target as `cnnspec.runtime.step.Term` has it."""
    counted = normalizer(loss, target)
    return total(loss, y, target) / counted if counted else 0.0


def total(loss: Loss, y: Array, target: Array) -> float:
    """Return the loss of a batch times its normalizer."""
    return LOSSES[loss.kind](loss, y.astype(np.float64), target)


def cross_entropy(loss: CrossEntropy, y: Array, target: Array) -> float:
    """−Σ w[c] · q[c] · log p[c], with p = softmax(y): y [n, c, ...], target [n, ...] or [n, c, ...].

    q is 1 for the target class, or the given probabilities; label smoothing spreads that fraction of it equally over
    all classes.
    """
    shifted = y - y.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    q = target if target.dtype.kind == "f" else _one_hot(target, y.shape[1], loss.ignore)
    counts = q.sum(axis=1, keepdims=True)
    q = (1 - loss.label_smoothing) * q + loss.label_smoothing / y.shape[1] * counts
    if loss.class_weights:
        q = q * np.reshape(loss.class_weights, (-1, *[1] * (y.ndim - 2)))
    # A class without weight counts nothing, even where its logit is −∞.
    return float(-(q * np.where(q > 0, log_p, 0)).sum())


def dice(loss: Dice, y: Array, target: Array) -> float:
    """Σ over samples of the mean over classes of 1 − (2 · Σ p·t + s) / (Σ p + Σ t + s): y [n, c, ...], target [n, ...].

    A single channel has p = σ(y), and the classes 0 and 1.
    """
    if y.shape[1] == 1:
        p, t = 1 / (1 + np.exp(-y)), (target == 1)[:, None].astype(np.float64)
    else:
        exponential = np.exp(y - y.max(axis=1, keepdims=True))
        p = exponential / exponential.sum(axis=1, keepdims=True)
        t = target if target.dtype.kind == "f" else _one_hot(target, y.shape[1], loss.ignore)
        if not loss.background:
            p, t = p[:, 1:], t[:, 1:]
    if loss.ignore is not None and target.dtype.kind != "f":
        p, t = (array * (target != loss.ignore)[:, None] for array in (p, t))
    axes = tuple(range(2, y.ndim))
    overlap, sizes = (p * t).sum(axes), p.sum(axes) + t.sum(axes)
    return float((1 - (2 * overlap + loss.smooth) / (sizes + loss.smooth)).mean(axis=1).sum())


def binary_cross_entropy(loss: BinaryCrossEntropy, y: Array, target: Array) -> float:
    """Σ w · t · log(1 + e⁻ʸ) + (1 − t) · log(1 + eʸ): y and target [n, c, ...], w for each channel."""
    weight = np.reshape(loss.positive_weight, (-1, *[1] * (y.ndim - 2)))
    return float((weight * target * np.logaddexp(0, -y) + (1 - target) * np.logaddexp(0, y)).sum())


def mean_squared_error(loss: MeanSquaredError, y: Array, target: Array) -> float:
    """Σ (y − target)²: y and target [n, ...]."""
    return float(np.square(y - target).sum())


def l1(loss: L1, y: Array, target: Array) -> float:
    """Σ |y − target|: y and target [n, ...]."""
    return float(np.abs(y - target).sum())


def huber(loss: Huber, y: Array, target: Array) -> float:
    """Σ of ½ · d² where |d| ≤ delta, else delta · (|d| − ½ · delta): y and target [n, ...]."""
    d = np.abs(y - target)
    return float(np.where(d <= loss.delta, d * d / 2, loss.delta * (d - loss.delta / 2)).sum())


def _one_hot(target: Array, classes: int, ignore: int | None) -> Array:
    """Return 1 at the class of each target, 0 elsewhere and where the class is ignored: [n, ...] -> [n, c, ...]."""
    of_class = np.arange(classes).reshape(1, -1, *[1] * (target.ndim - 1))
    found: Array = ((target[:, None] == of_class) & (target[:, None] != ignore)).astype(np.float64)
    return found


LOSSES: dict[str, Callable[[Any, Array, Array], float]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "l1": l1,
    "huber": huber,
}
