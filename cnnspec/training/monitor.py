"""The monitored value: the metric that chooses the best epoch, ends training early and lowers the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnspec.errors import TrainingError
from cnnspec.graph.training import Train
from cnnspec.training.metrics import METRICS, Metrics
from cnnspec.wording import names, nearest

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Monitor:
    """A value in the record of an epoch."""

    key: str
    """Its name: `validation_loss`, or `main.validation_loss` for the output `main` of several."""
    output: str
    """The output that it belongs to, "" for the whole network."""
    metric: str

    def value(self, record: Mapping[str, Any]) -> float | None:
        """Return the value in a record; None where it is not defined or not finite."""
        values = record["outputs"][self.output] if self.output else record
        value = values[self.key.removeprefix(f"{self.output}.")]
        return float(value) if value is not None and math.isfinite(value) else None

    def score(self, record: Mapping[str, Any]) -> float | None:
        """Return the value in a record, with the sign by which larger is better."""
        value = self.value(record)
        return value if value is None or METRICS[self.metric].larger_is_better else -value


@dataclass
class Patience:
    """For how many epochs a score has not improved."""

    best: float | None = None
    """The score that counts as the last improvement."""
    epochs: int = 0
    """Epochs since then."""

    def count(self, score: float | None, improvement: float) -> None:
        """Count an epoch with that score, which is an improvement where it is larger than the best by more than that.

        A score that is not defined is none.
        """
        if score is not None and (self.best is None or score > self.best + improvement):
            self.best, self.epochs = score, 0
        else:
            self.epochs += 1


def monitor_of(settings: Train, metrics: Mapping[str, Metrics], splits: Sequence[str], several: bool) -> Monitor:
    """Return what the settings monitor, or else what chooses the best epoch.

    That is the main metric of one output with classes on the validation data, the loss on it for all others, and the
    loss of training without validation data.

    `metrics` are those of the outputs that are trained, `splits` the data that is evaluated after each epoch, and
    `several` is whether the network has several outputs. Raise TrainingError for a name that no record will have.
    """
    known = _known(metrics, splits, several)
    if settings.monitor is None:
        (first, *_) = metrics.values()
        by_class = first.loss.targets == "classes" and not several
        return known[f"validation_{first.main if by_class else 'loss'}" if "validation" in splits else "loss"]
    if settings.monitor in known:
        return known[settings.monitor]
    for split in SPLITS:
        if split not in splits and settings.monitor in _known(metrics, [split], several):
            raise TrainingError(f"`monitor: {settings.monitor}` needs {split} data{_remedy(split, splits)}")
    near = nearest(settings.monitor, known)
    hint = f"; did you mean `{near}`?" if near else ""
    raise TrainingError(
        f"`monitor: {settings.monitor}` is no metric of this training, which has {names(list(known))}{hint}"
    )


def _remedy(split: str, splits: Sequence[str]) -> str:
    if split == "validation":
        return ", and none is held out: set `validation: 0.1`, the fraction of the training data to hold out"
    if "validation" in splits:
        return (
            " after each epoch, and validation data is evaluated in its place: monitor that, or leave out `validation`"
        )
    return ", and the dataset has none"


def _known(metrics: Mapping[str, Metrics], splits: Sequence[str], several: bool) -> dict[str, Monitor]:
    """Return every value that a record can be judged by, by its name."""
    found = {"loss": "loss"} | {f"{split}_loss": "loss" for split in splits}
    known = {key: Monitor(key, "", metric) for key, metric in found.items()}
    for output, metric in metrics.items():
        owner, prefix = (output, f"{output}.") if several else ("", "")
        keys = {name: name for name in metric.brief(metric.sums)}
        keys |= {f"{split}_{name}": name for split in splits for name in metric.values()}
        known |= {f"{prefix}{key}": Monitor(f"{prefix}{key}", owner, name) for key, name in keys.items()}
    return known
