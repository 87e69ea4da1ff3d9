"""Metrics as text: in a line, and as the columns of a table of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.arrays import Array
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.metrics import METRICS, Metrics
from cnnspec.training.monitor import SPLITS, Monitor
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import percent

MOST_CLASSES = 20
"""Classes up to which a confusion matrix is shown."""

CONFUSED = "most often confused with"
CLASS_TEXTS = ("class", "label", CONFUSED)
"""The columns of a table of classes that are text."""
CLASSES = Narrow((CONFUSED, "precision"), names=(), texts=("class", "label"))
"""How a table of classes gives way on a narrow terminal."""

_ACCURACY = {"segmentation": "pixel accuracy", "multi-label": "accuracy of labels"}
_COUNTED = {"segmentation": "pixels", "multi-label": "positives"}
"""What a task calls what others call accuracy, or samples."""
_COLUMNS = {"iou": "IoU", "recall": "recall", "precision": "precision", "f1": "F1"}


def value_text(name: str, value: float | None) -> str:
    """Return the value of a metric: 98.52 %, 0.0312, 5.2e-05."""
    if value is None:
        return "–"
    if METRICS[name].is_fraction:
        return f"{100 * value:.2f} %"
    return f"{value:.4f}" if abs(value) >= 0.001 or not value else f"{value:.3g}"


def metric_text(name: str, value: float | None, title: str | None = None) -> str:
    """Return a metric with its title: accuracy 98.52 %."""
    return f"{title or METRICS[name].title} {value_text(name, value)}"


def short(name: str, value: float | None) -> str:
    """Return a metric without a title where that is the accuracy: 98.52 %."""
    return value_text(name, value) if name == "accuracy" else metric_text(name, value)


def summary(found: Evaluation) -> str:
    """Return all metrics in a line, the loss last."""
    titles = {"accuracy": _ACCURACY.get(found.task)}
    names = [name for name in found.metrics if name != "loss"]
    return ", ".join(metric_text(name, found.metrics[name], titles.get(name)) for name in [*names, "loss"])


def epoch_line(record: Mapping[str, Any], metrics: Mapping[str, Metrics], monitor: Monitor) -> str:
    """Return the record of an epoch in a line: the loss, the main metric of each output, and what is monitored."""
    several = "outputs" in record
    values = {name: record["outputs"][name] if several else record for name in metrics}
    parts = [metric_text("loss", record["loss"])]
    for name, metric in metrics.items():
        if metric.main in values[name]:  # not in records of cnnspec 0.1
            value = values[name][metric.main]
            parts.append(f"{name} {short(metric.main, value)}" if several else metric_text(metric.main, value))
    for split in (split for split in SPLITS if f"{split}_loss" in record):
        if several:
            parts.append(f"{split} {metric_text('loss', record[f'{split}_loss'])}")
        for name, metric in metrics.items():
            place = f"{split} {name}" if several else split
            shown = dict.fromkeys((metric.main, *_monitored(monitor, split, name if several else "")))
            found = {key: values[name][f"{split}_{key}"] for key in shown if f"{split}_{key}" in values[name]}
            parts += [f"{place} {short(key, value)}" for key, value in found.items()]
    parts.append(f"{record['samples_per_second']:,.0f} samples/s")
    return f"epoch {record['epoch']:>3}  {', '.join(parts)}"


def _monitored(monitor: Monitor, split: str, output: str) -> list[str]:
    """Return the metric of an output on a split that is monitored, if it is of these."""
    own = monitor.output == output and monitor.key.removeprefix(f"{output}.") == f"{split}_{monitor.metric}"
    return [monitor.metric] if own else []


def class_columns(names: Sequence[str], found: Evaluation) -> dict[str, Sequence[str]]:
    """Return the columns of the table of the classes or labels; none where the task has no classes."""
    entries = found.per_class()
    if not entries:
        return {}
    columns: dict[str, Sequence[str]] = {
        "label" if found.task == "multi-label" else "class": names,
        _COUNTED.get(found.task, "samples"): [f"{entry['samples']:,}" for entry in entries],
        **{title: [_percent(entry[key]) for entry in entries] for key, title in _COLUMNS.items() if key in entries[0]},
    }
    if found.confusion is not None:
        columns[CONFUSED] = [_most_confused(names, row, i) for i, row in enumerate(found.confusion)]
    return columns


def _most_confused(names: Sequence[str], row: Array, own: int) -> str:
    others = [0 if i == own else int(n) for i, n in enumerate(row)]
    most = max(others)
    return f"{names[others.index(most)]} ({most})" if most else ""


def _percent(value: Any) -> str:
    return "–" if value is None else percent(value)
