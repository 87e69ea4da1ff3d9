"""Evaluation on data: the loss and the metrics of each output over a whole split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data import Loader, Split, batches
from cnnspec.display import Rich
from cnnspec.graph.training import Loss
from cnnspec.runtime.model import Model
from cnnspec.training.metrics import Metrics, Values, metrics_of


@dataclass(frozen=True)
class Evaluation(Rich):
    """The result over a whole split."""

    samples: int
    loss: float
    accuracy: float | None
    """Of samples, of the positions of a map, or of labels; None for a regression."""
    confusion: Array | None
    """Counts [class, predicted class], of samples or of the positions of a map."""
    process: int = 0
    """Rank of this process; the result is that of all processes, in each of them."""
    outputs: Mapping[str, Evaluation] = field(default_factory=dict)
    """The results of each output by name, of a network with several, whose own has the sum of the weighted losses."""
    metrics: Values = field(default_factory=dict)
    """The loss and every metric of the task by name (docs/training.md); None where nothing counts."""
    task: str = ""
    """classification, segmentation, multi-label or regression."""
    classes: tuple[dict[str, Any], ...] = ()
    """What `per_class` returns."""

    def record(self, split: str) -> dict[str, Any]:
        """Return the metrics by their names in the record of an epoch, which begin with the split's."""
        return {f"{split}_loss": self.loss, f"{split}_accuracy": self.accuracy} | {
            f"{split}_{name}": value for name, value in self.metrics.items()
        }

    def per_class(self) -> list[dict[str, Any]]:
        """Return the metrics of each class or label by name.

        They are `samples`, `recall` TP / (TP + FN), `precision` TP / (TP + FP), `f1` and, of a segmentation, `iou`.
        A segmentation counts positions as `samples`, a multi-label task the samples that have the label.
        """
        return list(self.classes)

    def class_names(self, own: Sequence[str], of_data: Sequence[str]) -> list[str]:
        """Return the names of the classes or labels: those of the spec, those of the data, or their numbers."""
        count = len(self.classes)
        if count == 2 and len(own) == 1:  # one channel for two classes
            return [f"not {own[0]}", own[0]]
        return next(([*names] for names in (own, of_data) if len(names) == count), [str(i) for i in range(count)])


class Observer(Protocol):
    """What looks on while a split is evaluated."""

    def layer(self, name: str, value: Array) -> None:
        """Be given the value of each layer for a batch, as it is computed: [n, ...]."""

    def batch(self, outputs: Arrays, target: Array | Arrays, indices: Array) -> None:
        """Be given the outputs of a batch by name, the targets, and the indices of the samples in the split."""


def evaluate_split(
    model: Model,
    split: Split,
    losses: Loss | Mapping[str, Loss],
    batch: int = 256,
    on_batch: Callable[[int], None] | None = None,
    loader: Loader | None = None,
    observer: Observer | None = None,
) -> Evaluation:
    """Run a model over a split, each process over its shard; `on_batch` is called with the number of samples so far.

    `losses` are those of outputs by name, or that of every output. With an `observer` the network runs layer by layer.
    The result depends on `batch` by rounding alone.
    """
    nodes = model.graph.output_nodes
    given = dict.fromkeys(nodes, losses) if isinstance(losses, Loss) else losses
    metrics = {name: metrics_of(loss, nodes[name].shape) for name, loss in given.items()}
    mine = np.arange(split.n)[model.shard(split.n)]
    done = 0
    for x, target, indices in batches(split, mine, batch, loader, pixels=model.takes_pixels):
        outputs = _outputs(model, x if isinstance(x, dict) else {model.graph.input.name: x}, observer)
        for name, metric in metrics.items():
            metric.add(outputs[name], target[name] if isinstance(target, dict) else target)
        if observer:
            observer.batch(outputs, target, indices)
        done += len(indices)
        if on_batch:
            on_batch(done)
    # In the order of the processes, so that each gets the same sums to the last bit.
    of_each = model.gather({name: metric.sums for name, metric in metrics.items()})
    whole = {name: metrics_of(loss, nodes[name].shape) for name, loss in given.items()}
    for sums in of_each:
        for name, metric in whole.items():
            metric.merge(sums[name])
    found = {name: _result(metric) for name, metric in whole.items()}
    total = sum((given[name].weight * one.loss for name, one in found.items()), 0.0)
    first = next(iter(found.values()))
    if len(nodes) == 1:
        return replace(first, loss=total, metrics=first.metrics | {"loss": total}, process=model.process)
    return Evaluation(first.samples, total, None, None, model.process, found, {"loss": total})


def _outputs(model: Model, x: dict[str, Samples], observer: Observer | None) -> Arrays:
    if observer is None:
        return model.run(x)
    found = model.run_with_hook(x, observer.layer)
    return found if isinstance(found, dict) else {model.graph.output_names[0]: found}


def _result(metric: Metrics) -> Evaluation:
    values = metric.values()
    loss, samples = values["loss"] or 0.0, int(metric.sums["samples"])
    return Evaluation(
        samples,
        loss,
        values.get("accuracy"),
        metric.confusion,
        metrics=values,
        task=metric.task,
        classes=tuple(metric.per_class()),
    )
