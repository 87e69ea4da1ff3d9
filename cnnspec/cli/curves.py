"""The course of a training as lines of bars: the loss, and the main metric of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.cli.metrics import value_text
from cnnspec.training.metrics import METRICS, Metrics
from cnnspec.training.monitor import SPLITS
from cnnspec.training.trainer import Result
from cnnspec.view.spark import sparkline
from cnnspec.wording import cells

LONGEST = 60
"""Bars of a curve."""


def curve_lines(result: Result, metrics: Mapping[str, Metrics], width: int | None) -> list[str]:
    """Return a line for each curve: its name, a bar for each epoch, and the first and the last value.

    After a single epoch, the one curve is the loss of its steps; more values than fit are shown by means.
    """
    if len(result.epochs) > 1:
        found = _of_epochs(result.epochs, metrics)
    else:
        found = {"loss of the steps": ("loss", result.losses)}
    shown = {name: entry for name, entry in found.items() if len(entry[1]) > 1}
    ends = {
        name: " → ".join(value_text(metric, value) for value in (values[0], values[-1]))
        for name, (metric, values) in shown.items()
    }
    if not shown:
        return []
    label = max(map(cells, shown))
    room = LONGEST if width is None else min(LONGEST, width - label - 4 - max(map(cells, ends.values())))
    return [f"{name:<{label}}  {sparkline(values, max(1, room))}  {ends[name]}" for name, (_, values) in shown.items()]


def _of_epochs(records: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metrics]) -> dict[str, Any]:
    """Return the metric and the values of each curve by its name, where every epoch has a value."""
    several = "outputs" in records[0]
    found: dict[str, Any] = {}
    for prefix in ("", *(f"{split}_" for split in SPLITS)):
        where = prefix.replace("_", " ")
        found[f"{where}loss"] = "loss", [record.get(f"{prefix}loss") for record in records]
        for output, metric in metrics.items():
            key = f"{prefix}{metric.main}"
            values = [(record["outputs"][output] if several else record).get(key) for record in records]
            title = METRICS[metric.main].title
            found[f"{where}{output} {title}" if several else f"{where}{title}"] = metric.main, values
    return {name: entry for name, entry in found.items() if None not in entry[1]}
