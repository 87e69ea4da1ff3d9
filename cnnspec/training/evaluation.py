"""How good a network is on data: loss, accuracy, each class, and who is taken for whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import Split, batches
from cnnspec.graph.training import CrossEntropy, Loss
from cnnspec.runtime.model import Model


@dataclass(frozen=True)
class Evaluation:
    """The result over a whole split; a regression has neither accuracy nor confusion."""

    samples: int
    loss: float
    accuracy: float | None
    confusion: Array | None
    """[class, predicted class], counts."""
    process: int = 0
    """Which process this is, of those that each counted a share; all know the result."""

    def per_class(self) -> list[dict[str, Any]]:
        """Samples, recall (share of the class that was found) and precision (share of the finds that are right)."""
        if self.confusion is None:
            return []
        found = []
        for i, row in enumerate(self.confusion):
            right, samples, predicted = int(row[i]), int(row.sum()), int(self.confusion[:, i].sum())
            found.append(
                {
                    "samples": samples,
                    "recall": right / samples if samples else None,
                    "precision": right / predicted if predicted else None,
                }
            )
        return found


class Tally:
    """Loss and accuracy summed up batch by batch."""

    def __init__(self, loss: Loss, classes: int) -> None:
        self.choice = loss
        self.samples = 0
        self.loss = 0.0
        is_class = loss.targets == "classes"
        self.confusion: Array | None = np.zeros((classes, classes), np.int64) if is_class else None

    def add(self, y: Array, target: Array) -> None:
        """A batch: y [n, ...], target [n] or [n, ...]."""
        self.samples += len(y)
        self.loss += loss_of(self.choice, y, target) * len(y)
        if self.confusion is not None:
            np.add.at(self.confusion, (target, y.argmax(axis=1)), 1)

    def join(self, other: Tally) -> None:
        """What another process counted."""
        self.samples += other.samples
        self.loss += other.loss
        if self.confusion is not None:
            self.confusion += other.confusion

    def result(self) -> Evaluation:
        """What it comes to."""
        accuracy = None
        if self.confusion is not None:
            accuracy = float(np.trace(self.confusion)) / max(1, self.samples)
        return Evaluation(self.samples, self.loss / max(1, self.samples), accuracy, self.confusion)


def loss_of(choice: Loss, y: Array, target: Array) -> float:
    """The loss of a batch in float64, as `cnnspec.graph.training` defines it: y [n, ...], target [n] or [n, ...]."""
    y = y.astype(np.float64)
    if not isinstance(choice, CrossEntropy):
        return float(np.mean((y - target) ** 2))
    shifted = y - y.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    hit = log_shares[np.arange(len(y)), target]
    s = choice.label_smoothing
    return float(-((1 - s) * hit + s * log_shares.mean(axis=1)).mean())


def evaluate_split(
    model: Model, split: Split, loss: Loss, batch: int = 256, seen: Callable[[int], None] | None = None
) -> Evaluation:
    """Runs a model over a split, each process over its shard; `seen` is told the samples so far after each batch."""
    tally = Tally(loss, model.graph.output.shape[0])
    mine = np.arange(split.n)[model.shard(split.n)]
    for x, target, _ in batches(split, mine, batch):
        tally.add(model.predict(x), target)
        if seen:
            seen(tally.samples)
    for i, other in enumerate(model.gather(tally)):
        if i != model.process:
            tally.join(other)
    return replace(tally.result(), process=model.process)
