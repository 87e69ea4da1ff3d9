"""Metrics as text: in a line, and as tables of classes."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.arrays import Array
from cnnspec.cli.common import painter, print_lines, text_width
from cnnspec.data import Dataset
from cnnspec.graph.spec import Spec
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.metrics import METRICS, Metrics
from cnnspec.training.monitor import SPLITS, Monitor
from cnnspec.view.fitting import Columns, Narrow, width_of
from cnnspec.view.table import percent, table_lines

MOST_CLASSES = 20
"""Classes up to which a confusion matrix is shown."""

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


def print_classes(names: Sequence[str], found: Evaluation) -> None:
    """Print a table of the classes or labels."""
    entries = found.per_class()
    if not entries:
        return
    paint = painter(sys.stdout)
    columns = {
        "label" if found.task == "multi-label" else "class": names,
        _COUNTED.get(found.task, "samples"): [f"{entry['samples']:,}" for entry in entries],
        **{title: [_percent(entry[key]) for entry in entries] for key, title in _COLUMNS.items() if key in entries[0]},
    }
    confusion = found.confusion
    if confusion is not None:
        columns["most often confused with"] = [_most_confused(names, row, i) for i, row in enumerate(confusion)]
    left = ("class", "label", "most often confused with")
    narrow = Narrow(("most often confused with", "precision"), names=(), texts=("class", "label"))
    print_lines(table_lines(columns, paint, left, width=text_width(), narrow=narrow))


def print_confusion(names: Sequence[str], found: Evaluation) -> None:
    """Print the confusion matrix of a few classes."""
    if found.confusion is None or len(names) > MOST_CLASSES:
        return
    print_lines(["", "confusion matrix (rows: actual class; columns: predicted class)", ""])
    numbers = [str(i) for i in range(len(names))]
    numbered = [f"{i} {name}" for i, name in enumerate(names)]
    for rows, heads in ((names, [name[:8] for name in names]), (numbered, numbers), (numbers, numbers)):
        columns: Columns = {"": rows} | {
            head: [f"{n or '·'}" for n in column] for head, column in zip(heads, found.confusion.T, strict=True)
        }
        if len(columns) == 1 + len(names) and width_of(columns) <= (text_width() or math.inf):
            print_lines(table_lines(columns, painter(sys.stdout), left=("",)))
            return
    print_lines([f"it takes {width_of(columns)} columns, more than the terminal has; --format json has it, too"])


def class_names(spec: Spec, dataset: Dataset, output: str, found: Evaluation) -> list[str]:
    """Return the names of the classes of an output: the spec's, the data's, or their numbers."""
    count = len(found.per_class())
    given = [spec.classes_of.get(output, ()), dataset.classes]
    if count == 2 and len(given[0]) == 1:  # one channel for two classes
        return [f"not {given[0][0]}", given[0][0]]
    return next(([*names] for names in given if len(names) == count), [str(i) for i in range(count)])


def by_output(spec: Spec, found: Evaluation) -> Mapping[str, Evaluation]:
    """Return the evaluation of each output by name."""
    return found.outputs or {spec.graph.output_names[0]: found}


def as_data(spec: Spec, dataset: Dataset, found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON has it; that of several outputs by name."""
    of_each = {
        name: _as_data(class_names(spec, dataset, name, one), one) for name, one in by_output(spec, found).items()
    }
    whole = {"loss": found.loss, "outputs": of_each} if found.outputs else next(iter(of_each.values()))
    return {"samples": found.samples} | whole


def _as_data(names: Sequence[str], found: Evaluation) -> dict[str, Any]:
    return {
        "task": found.task,
        "loss": found.loss,
        "accuracy": found.accuracy,
        **found.metrics,
        "classes": [{"name": n} | entry for n, entry in zip(names, found.per_class(), strict=True)],
        "confusion": found.confusion.tolist() if found.confusion is not None else None,
    }


def _most_confused(names: Sequence[str], row: Array, own: int) -> str:
    others = [0 if i == own else int(n) for i, n in enumerate(row)]
    most = max(others)
    return f"{names[others.index(most)]} ({most})" if most else ""


def _percent(value: Any) -> str:
    return "–" if value is None else percent(value)
