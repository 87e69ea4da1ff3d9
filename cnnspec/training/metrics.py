"""Metrics of an output, by its task: classification, segmentation, multi-label classification or regression.

All that is accumulated are sums, so that batches, and the parts of several processes, can be added in any number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import Loss, Task
from cnnspec.layers import Shape
from cnnspec.runtime.step import is_soft, normalizer
from cnnspec.training import losses
from cnnspec.training.class_counts import as_list, confusion, entries, f1, iou, marginals, mean

Sums = dict[str, Any]
"""Numbers and arrays by name, of which metrics are computed."""
Values = dict[str, float | None]
"""Metrics by name; None where nothing counts."""


class Metric(NamedTuple):
    """What a metric is like."""

    title: str
    """Its name in a sentence."""
    larger_is_better: bool = True
    is_fraction: bool = True
    """Whether it is shown in percent."""


METRICS = {
    "loss": Metric("loss", larger_is_better=False, is_fraction=False),
    "accuracy": Metric("accuracy"),
    "top5_accuracy": Metric("top-5 accuracy"),
    "exact_match": Metric("exact match"),
    "macro_f1": Metric("macro F1"),
    "mean_iou": Metric("mean IoU"),
    "mae": Metric("MAE", larger_is_better=False, is_fraction=False),
    "rmse": Metric("RMSE", larger_is_better=False, is_fraction=False),
}
"""Every metric by its name in records."""


def added(sums: Mapping[str, Any], more: Mapping[str, Any]) -> Sums:
    """Return the sums of both, by name."""
    return {name: np.add(sums.get(name, 0), value) for name, value in more.items()}


class Metrics(ABC):
    """The metrics of one output.

    A subclass compares an output with its target once (`_pair`), and counts what is needed for the main metric
    (`_counts`) and for the others (`_details`).
    """

    task: ClassVar[Task]
    main: ClassVar[str]
    """The metric that stands beside the loss during training."""

    def __init__(self, loss: Loss, shape: Shape) -> None:
        self.loss = loss
        self.shape = shape
        self.sums: Sums = {}
        # An empty batch, so that every sum is there.
        self.add(np.zeros((0, *shape)), np.zeros((0, *loss.target_shape(shape)), np.int64))

    def add(self, y: Array, target: Array) -> None:
        """Add a batch: y [n, ...], target as the loss takes it."""
        pair = self._pair(y, target)
        found = {
            "samples": len(y),
            "loss": losses.total(self.loss, y, target),
            "normalizer": normalizer(self.loss, target),
        }
        self.merge(found | self._counts(*pair) | self._details(*pair, y))

    def merge(self, sums: Mapping[str, Any]) -> None:
        """Add the sums of other batches."""
        self.sums = added(self.sums, sums)

    def values(self) -> Values:
        """Return the loss and all metrics of the batches so far."""
        counted = float(self.sums["normalizer"])
        loss = float(self.sums["loss"]) / counted if counted else 0.0
        return {"loss": loss} | self.brief(self.sums) | self._more_values()

    def counts(self, y: Array, target: Array) -> Sums:
        """Return the sums of a batch of which `brief` computes its values: y [n, ...], target as the loss takes it."""
        return self._counts(*self._pair(y, target))

    @abstractmethod
    def brief(self, sums: Mapping[str, Any]) -> Values:
        """Return the metrics that are cheap enough for every step of training, the main one among them."""

    def per_class(self) -> list[dict[str, Any]]:
        """Return the metrics of each class or label."""
        return []

    @property
    def confusion(self) -> Array | None:
        """Counts [class, predicted class], where an element has one class."""
        return None

    @abstractmethod
    def _pair(self, y: Array, target: Array) -> tuple[Array, Array]:
        """Return predictions and targets in the same form, without those that do not count."""

    @abstractmethod
    def _counts(self, predicted: Array, actual: Array) -> Sums: ...

    @abstractmethod
    def _details(self, predicted: Array, actual: Array, y: Array) -> Sums: ...

    @abstractmethod
    def _more_values(self) -> Values: ...


class Classification(Metrics):
    """One class for each sample."""

    task = "classification"
    main = "accuracy"

    def _pair(self, y: Array, target: Array) -> tuple[Array, Array]:
        actual = _classes(self.loss, target)
        counts = _counting(self.loss, target)
        # Samples that do not count have the class −1, so that the output can be compared with the others' classes.
        return y.argmax(axis=1), np.where(counts, actual, -1)

    def _counts(self, predicted: Array, actual: Array) -> Sums:
        return {"correct": np.count_nonzero(predicted == actual), "counted": np.count_nonzero(actual >= 0)}

    def _details(self, predicted: Array, actual: Array, y: Array) -> Sums:
        counts = actual >= 0
        found: Sums = {"confusion": confusion(predicted[counts], actual[counts], self.shape[0])}
        if self.shape[0] > 5:
            y, actual = y[counts], actual[counts, None]
            score = np.take_along_axis(y, actual, axis=1)
            before = (y > score) | ((y == score) & (np.arange(self.shape[0]) < actual))
            found["top5"] = np.count_nonzero(before.sum(axis=1) < 5)
        return found

    def brief(self, sums: Mapping[str, Any]) -> Values:
        """Return the accuracy."""
        return {"accuracy": _fraction(sums["correct"], sums["counted"])}

    def _more_values(self) -> Values:
        found = {"top5_accuracy": _fraction(self.sums["top5"], self.sums["counted"])} if "top5" in self.sums else {}
        return found | {"macro_f1": mean(f1(*marginals(self.confusion)))}

    def per_class(self) -> list[dict[str, Any]]:
        """Return the samples, recall, precision and F1 of each class."""
        return entries(*marginals(self.confusion))

    @property
    def confusion(self) -> Array:
        """Counts [class, predicted class]."""
        found: Array = self.sums["confusion"]
        return found


class Segmentation(Metrics):
    """One class for each position of a map; a single channel tells two classes apart."""

    task = "segmentation"
    main = "mean_iou"

    def _pair(self, y: Array, target: Array) -> tuple[Array, Array]:
        predicted = (y[:, 0] > 0).astype(np.intp) if self.shape[0] == 1 else y.argmax(axis=1)
        if self.loss.targets == "labels":
            return predicted.ravel(), (target[:, 0] >= 0.5).astype(np.intp).ravel()
        counts = _counting(self.loss, target)
        return predicted[counts], _classes(self.loss, target)[counts]

    def _counts(self, predicted: Array, actual: Array) -> Sums:
        classes = self._classes
        return {
            "correct": np.bincount(actual[predicted == actual], minlength=classes),
            "actual": np.bincount(actual, minlength=classes),
            "predicted": np.bincount(predicted, minlength=classes),
        }

    def _details(self, predicted: Array, actual: Array, y: Array) -> Sums:
        return {"confusion": confusion(predicted, actual, self._classes)}

    def brief(self, sums: Mapping[str, Any]) -> Values:
        """Return the accuracy over all positions, and the mean IoU of the classes."""
        correct, actual, predicted = (np.asarray(sums[name]) for name in ("correct", "actual", "predicted"))
        return {
            "accuracy": _fraction(correct.sum(), actual.sum()),
            "mean_iou": mean(iou(correct, actual, predicted)),
        }

    def _more_values(self) -> Values:
        return {}

    def per_class(self) -> list[dict[str, Any]]:
        """Return the positions (as `samples`), IoU, recall, precision and F1 of each class."""
        counts = marginals(self.confusion)
        overlaps = as_list(iou(*counts))
        return [entry | {"iou": value} for entry, value in zip(entries(*counts), overlaps, strict=True)]

    @property
    def confusion(self) -> Array:
        """Counts [class, predicted class], of positions."""
        found: Array = self.sums["confusion"]
        return found

    @property
    def _classes(self) -> int:
        return self.loss.classes(self.shape)


class MultiLabel(Metrics):
    """Any number of labels for each sample, or for each position of a map; a label is present from one half on."""

    task = "multi-label"
    main = "macro_f1"

    def _pair(self, y: Array, target: Array) -> tuple[Array, Array]:
        return y > 0, target >= 0.5

    def _counts(self, predicted: Array, actual: Array) -> Sums:
        axes = (0, *range(2, actual.ndim))
        return {
            "correct": np.count_nonzero(predicted & actual, axis=axes),
            "actual": np.count_nonzero(actual, axis=axes),
            "predicted": np.count_nonzero(predicted, axis=axes),
            "counted": actual.size,
        }

    def _details(self, predicted: Array, actual: Array, y: Array) -> Sums:
        matches = (predicted == actual).all(axis=1)
        return {"exact": np.count_nonzero(matches), "positions": matches.size}

    def brief(self, sums: Mapping[str, Any]) -> Values:
        """Return the accuracy over all labels, and the mean F1 of the labels."""
        correct, actual, predicted = (np.asarray(sums[name]) for name in ("correct", "actual", "predicted"))
        wrong = actual.sum() + predicted.sum() - 2 * correct.sum()
        return {
            "accuracy": _fraction(sums["counted"] - wrong, sums["counted"]),
            "macro_f1": mean(f1(correct, actual, predicted)),
        }

    def _more_values(self) -> Values:
        return {"exact_match": _fraction(self.sums["exact"], self.sums["positions"])}

    def per_class(self) -> list[dict[str, Any]]:
        """Return the samples that have each label, and its recall, precision and F1."""
        return entries(*(self.sums[name] for name in ("correct", "actual", "predicted")))


class Regression(Metrics):
    """Numbers."""

    task = "regression"
    main = "mae"

    def _pair(self, y: Array, target: Array) -> tuple[Array, Array]:
        return y.astype(np.float64), target

    def _counts(self, predicted: Array, actual: Array) -> Sums:
        return {"absolute": float(np.abs(predicted - actual).sum()), "counted": actual.size}

    def _details(self, predicted: Array, actual: Array, y: Array) -> Sums:
        return {"squared": float(np.square(predicted - actual).sum())}

    def brief(self, sums: Mapping[str, Any]) -> Values:
        """Return the mean absolute error."""
        return {"mae": _fraction(sums["absolute"], sums["counted"])}

    def _more_values(self) -> Values:
        square = _fraction(self.sums["squared"], self.sums["counted"])
        return {"rmse": None if square is None else math.sqrt(square)}


def metrics_of(loss: Loss, shape: Shape) -> Metrics:
    """Return the metrics of an output of that shape with its loss, of no batch yet."""
    of_task = {cls.task: cls for cls in (Classification, Segmentation, MultiLabel, Regression)}
    return of_task[loss.task(shape)](loss, shape)


def _classes(loss: Loss, target: Array) -> Array:
    """Return the index of the class of each element, the likeliest where probabilities are given."""
    return target.argmax(axis=1) if is_soft(loss, target) else target


def _counting(loss: Loss, target: Array) -> Array:
    """Return which elements count: those that have a class, and not the ignored one."""
    if is_soft(loss, target):
        return np.asarray(target.any(axis=1))
    return np.ones(target.shape, bool) if loss.ignored is None else np.asarray(target != loss.ignored)


def _fraction(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None
