"""Losses: the sum over a batch, before it is divided by the normalizer, and its gradient by the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import L1, BinaryCrossEntropy, CrossEntropy, Dice, Huber, MeanSquaredError
from cnnspec_numpy.kernels.activation import logistic
from cnnspec_numpy.kernels.base import along_channels


def cross_entropy(loss: CrossEntropy, y: Array, target: Array) -> tuple[float, Array]:
    """−Σ a[c] · log softmax(y)[c]: y [n, c, ...], target [n, ...] or probabilities [n, c, ...].

    a is the probability of the class times its weight, of which label smoothing spreads a fraction over all classes.
    The gradient is softmax(y) · Σ a − a.
    """
    a = _coefficients(loss, y, target)
    with np.errstate(over="ignore"):
        log_p = y - y.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    # A class without weight counts nothing, even where its logit is −∞.
    total = -float(np.multiply(a, log_p, out=np.zeros_like(y), where=a > 0).sum(dtype=np.float64))
    dy: Array = np.exp(log_p)
    dy *= a.sum(1, keepdims=True)
    dy -= a
    return total, dy


def _coefficients(loss: CrossEntropy, y: Array, target: Array) -> Array:
    """Return the factor of each −log p[c]: [n, c, ...]."""
    epsilon, c = loss.label_smoothing, y.shape[1]
    if target.dtype.kind == "f":
        a: Array = (1 - epsilon) * target.astype(y.dtype) + y.dtype.type(epsilon / c)
    else:
        counts = np.ones(target.shape, y.dtype) if loss.ignore is None else (target != loss.ignore).astype(y.dtype)
        a = np.zeros_like(y)
        a += y.dtype.type(epsilon / c) * counts[:, None]
        at = np.where(counts > 0, target, 0)[:, None]
        np.put_along_axis(a, at, np.take_along_axis(a, at, 1) + (1 - epsilon) * counts[:, None], 1)
    if loss.class_weights:
        a *= along_channels(np.asarray(loss.class_weights, y.dtype), y)
    return a


def dice(loss: Dice, y: Array, target: Array) -> tuple[float, Array]:
    """Σ over samples of the mean over classes of 1 − (2·Σ p·t + s) / (Σ p + Σ t + s): y [n, c, ...], target [n, ...].

    With I = Σ p·t and S = Σ p + Σ t + s, the derivative by p is −2·t / S + (2·I + s) / S².
    """
    single = y.shape[1] == 1
    p = logistic(y) if single else _softmax(y)
    counts = None if loss.ignore is None or target.dtype.kind == "f" else (target != loss.ignore)[:, None]
    if single:
        t = (target == 1)[:, None].astype(y.dtype)
    elif target.dtype.kind == "f":
        t = target.astype(y.dtype)
    else:
        t = (target[:, None] == np.arange(y.shape[1]).reshape(1, -1, *[1] * (y.ndim - 2))).astype(y.dtype)
    if counts is not None:
        t *= counts
    classes = slice(0 if single or loss.background else 1, None)
    axes = tuple(range(2, y.ndim))
    counted = p if counts is None else p * counts
    overlap = (counted * t).sum(axes, keepdims=True)
    size = counted.sum(axes, keepdims=True) + t.sum(axes, keepdims=True) + y.dtype.type(loss.smooth)
    score = (2 * overlap + loss.smooth) / size
    of_each = (1 - score)[:, classes]
    dp = np.zeros_like(p)
    dp[:, classes] = ((score - 2 * t) / size)[:, classes] / of_each.shape[1]
    if counts is not None:
        dp *= counts
    total = float(of_each.sum(dtype=np.float64)) / of_each.shape[1]
    if single:
        return total, dp * p * (1 - p)
    return total, p * (dp - (dp * p).sum(1, keepdims=True))


def binary_cross_entropy(loss: BinaryCrossEntropy, y: Array, target: Array) -> tuple[float, Array]:
    """Σ w·t·log(1 + e⁻ʸ) + (1 − t)·log(1 + eʸ): y and target [n, c, ...].

    The gradient is (1 − t)·σ(y) − w·t·σ(−y).
    """
    positive = along_channels(np.asarray(loss.positive_weight, y.dtype), y) * target
    negative = 1 - target
    total = positive * np.logaddexp(0, -y) + negative * np.logaddexp(0, y)
    p = logistic(y)
    return float(total.sum(dtype=np.float64)), negative * p - positive * (1 - p)


def mean_squared_error(loss: MeanSquaredError, y: Array, target: Array) -> tuple[float, Array]:
    """Σ (y − target)²: y and target [n, ...]."""
    difference = y - target
    return float(np.square(difference).sum(dtype=np.float64)), difference * 2


def l1(loss: L1, y: Array, target: Array) -> tuple[float, Array]:
    """Σ |y − target|: y and target [n, ...]; the derivative at 0 is 0."""
    difference = y - target
    return float(np.abs(difference).sum(dtype=np.float64)), np.sign(difference)


def huber(loss: Huber, y: Array, target: Array) -> tuple[float, Array]:
    """Σ of ½·d² where |d| ≤ delta, else delta·(|d| − ½·delta): y and target [n, ...]."""
    d = y - target
    inside = np.clip(d, -loss.delta, loss.delta)
    # ½·i² + i·(d − i) is both cases, with i = d inside of the limit and ±delta outside.
    return float((inside * (d - inside / 2)).sum(dtype=np.float64)), inside


def _softmax(y: Array) -> Array:
    p: Array = np.exp(y - y.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return p


LOSSES: dict[str, Callable[[Any, Array, Array], tuple[float, Array]]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "l1": l1,
    "huber": huber,
}
