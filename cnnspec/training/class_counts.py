"""Counts of classes, and the recall, precision, F1 and IoU that they give.

TP, FP and FN of a class are its true positives, false positives and false negatives. `correct` is TP of each class,
`actual` TP + FN, and `predicted` TP + FP: each [classes].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnspec.arrays import Array


def confusion(predicted: Array, actual: Array, classes: int) -> Array:
    """Return counts [class, predicted class] of class indices [k]."""
    pairs = actual.astype(np.intp) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def marginals(confusion: Array) -> tuple[Array, Array, Array]:
    """Return the elements of each class that are recognised, that there are, and that are predicted: [classes]."""
    return confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)


def ratio(above: Array, below: Array) -> Array:
    """Return the quotients, NaN where the divisor is 0."""
    found: Array = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
    return found


def f1(correct: Array, actual: Array, predicted: Array) -> Array:
    """Return 2·TP / (2·TP + FP + FN) of each class."""
    return ratio(2 * correct, actual + predicted)


def iou(correct: Array, actual: Array, predicted: Array) -> Array:
    """Return TP / (TP + FP + FN) of each class."""
    return ratio(correct, actual + predicted - correct)


def mean(values: Array) -> float | None:
    """Return the mean without NaN: of the classes that occur or are predicted."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else None


def as_list(values: Array) -> list[float | None]:
    """Return the values with None in place of NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def entries(correct: Array, actual: Array, predicted: Array) -> list[dict[str, Any]]:
    """Return the elements of each class, TP / (TP + FN), TP / (TP + FP) and F1."""
    columns = (ratio(correct, actual), ratio(correct, predicted), f1(correct, actual, predicted))
    rows = zip(actual, *map(as_list, columns), strict=True)
    return [{"samples": int(n), "recall": recall, "precision": precision, "f1": f} for n, recall, precision, f in rows]
