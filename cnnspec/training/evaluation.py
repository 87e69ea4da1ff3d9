"""Evaluation on data: loss, accuracy, confusion matrix, and precision and recall of each class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data import Loader, Split, batches
from cnnspec.graph.training import Loss
from cnnspec.runtime.model import Model
from cnnspec.training import losses


@dataclass(frozen=True)
class Evaluation:
    """The result over a whole split; a regression has neither accuracy nor confusion."""

    samples: int
    loss: float
    accuracy: float | None
    confusion: Array | None
    """Counts [class, predicted class]."""
    process: int = 0
    """Rank of this process; the result is that of all processes, in each of them."""
    outputs: Mapping[str, Evaluation] = field(default_factory=dict)
    """The results of each output by name, of a network with several, whose own has the sum of the weighted losses."""

    def per_class(self) -> list[dict[str, Any]]:
        """Return the samples, the recall TP / (TP + FN) and the precision TP / (TP + FP) of each class."""
        if self.confusion is None:
            return []
        found = []
        for i, row in enumerate(self.confusion):
            correct, samples, predicted = int(row[i]), int(row.sum()), int(self.confusion[:, i].sum())
            found.append(
                {
                    "samples": samples,
                    "recall": correct / samples if samples else None,
                    "precision": correct / predicted if predicted else None,
                }
            )
        return found


class Metrics:
    """Loss and accuracy, accumulated batch by batch."""

    def __init__(self, loss: Loss, classes: int) -> None:
        self.settings = loss
        self.samples = 0
        self.loss = 0.0
        is_class = loss.targets == "classes"
        self.confusion: Array | None = np.zeros((classes, classes), np.int64) if is_class else None

    def add(self, y: Array, target: Array) -> None:
        """Add a batch: y [n, ...], target [n] or [n, ...]."""
        self.samples += len(y)
        self.loss += losses.value(self.settings, y, target) * len(y)
        if self.confusion is not None:
            np.add.at(self.confusion, (target, y.argmax(axis=1)), 1)

    def merge(self, other: Metrics) -> None:
        """Add what another process accumulated."""
        self.samples += other.samples
        self.loss += other.loss
        if self.confusion is not None:
            self.confusion += other.confusion

    def result(self) -> Evaluation:
        """Return the evaluation of all samples so far."""
        accuracy = None
        if self.confusion is not None:
            accuracy = float(np.trace(self.confusion)) / max(1, self.samples)
        return Evaluation(self.samples, self.loss / max(1, self.samples), accuracy, self.confusion)


def evaluate_split(
    model: Model,
    split: Split,
    losses: Loss | Mapping[str, Loss],
    batch: int = 256,
    on_batch: Callable[[int], None] | None = None,
    loader: Loader | None = None,
) -> Evaluation:
    """Run a model over a split, each process over its shard; `on_batch` is called with the number of samples so far.

    `losses` are those of outputs by name, or that of every output.
    """
    nodes = model.graph.output_nodes
    given = dict.fromkeys(nodes, losses) if isinstance(losses, Loss) else losses
    metrics = {name: Metrics(loss, nodes[name].shape[0]) for name, loss in given.items()}
    mine = np.arange(split.n)[model.shard(split.n)]
    done = 0
    for x, target, indices in batches(split, mine, batch, loader):
        outputs = model.run(x if isinstance(x, dict) else {model.graph.input.name: x})
        for name, metric in metrics.items():
            metric.add(outputs[name], target[name] if isinstance(target, dict) else target)
        done += len(indices)
        if on_batch:
            on_batch(done)
    for i, others in enumerate(model.gather(metrics)):
        if i != model.process:
            for name, metric in metrics.items():
                metric.merge(others[name])
    found = {name: metric.result() for name, metric in metrics.items()}
    total = sum((given[name].weight * one.loss for name, one in found.items()), 0.0)
    if len(nodes) == 1:
        return replace(next(iter(found.values())), loss=total, process=model.process)
    samples = next(iter(found.values())).samples
    return Evaluation(samples, total, None, None, model.process, found)
