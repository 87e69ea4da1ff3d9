"""The course of a training: the loss and the main metric of each output, as lines of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cnnspec.training.metrics import METRICS
from cnnspec.training.monitor import SPLITS
from cnnspec.training.result import Result
from cnnspec.view.metrics import value_text
from cnnspec.view.spark import sparkline
from cnnspec.wording import cells

LONGEST = 60
"""Bars of a curve."""


class Curve(NamedTuple):
    """The values of a metric, one for each epoch, or for each step of a single one."""

    metric: str
    values: list[float]

    @property
    def ends(self) -> str:
        """The first and the last value as text."""
        return " → ".join(value_text(self.metric, value) for value in (self.values[0], self.values[-1]))


def curves(result: Result) -> dict[str, Curve]:
    """Return the curves by name: the loss, and the metrics that are counted as it trains.

    After a single epoch, the one curve is the loss of its steps.
    """
    found = _of_epochs(result.epochs) if len(result.epochs) > 1 else {"loss of the steps": Curve("loss", result.losses)}
    return {name: curve for name, curve in found.items() if len(curve.values) > 1}


def curve_lines(result: Result, width: int | None) -> list[str]:
    """Return a line for each curve: its name, its bars, and the first and the last value.

    Each bar is a value, or the mean of several where more would not fit; None is an unlimited width.
    """
    shown = curves(result)
    if not shown:
        return []
    label = max(map(cells, shown))
    ends = max(cells(curve.ends) for curve in shown.values())
    room = LONGEST if width is None else max(1, min(LONGEST, width - label - ends - 4))
    return [f"{name:<{label}}  {sparkline(curve.values, room)}  {curve.ends}" for name, curve in shown.items()]


def _of_epochs(records: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return the curves of the loss and of the metrics that training counts, where every epoch has a value."""
    outputs: Mapping[str, Any] = records[0].get("outputs", {"": records[0]})
    counted = {
        output: [name for name in METRICS if name != "loss" and values.get(name) is not None]
        for output, values in outputs.items()
    }
    found: dict[str, Curve] = {}
    for prefix in ("", *(f"{split}_" for split in SPLITS)):
        where = prefix.replace("_", " ")
        _add(found, f"{where}loss", "loss", [record.get(f"{prefix}loss") for record in records])
        for output, names in counted.items():
            of_output = [record["outputs"][output] if output else record for record in records]
            for name in names:
                title = f"{where}{output} {METRICS[name].title}" if output else f"{where}{METRICS[name].title}"
                _add(found, title, name, [values.get(f"{prefix}{name}") for values in of_output])
    return found


def _add(found: dict[str, Curve], title: str, metric: str, values: Sequence[float | None]) -> None:
    there = [value for value in values if value is not None]
    if len(there) == len(values):
        found[title] = Curve(metric, there)
