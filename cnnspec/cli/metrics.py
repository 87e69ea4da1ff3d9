"""Metrics on the command line: tables of classes, and their form in JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.cli.common import painter, print_lines, text_width
from cnnspec.data import Dataset
from cnnspec.graph.spec import Spec
from cnnspec.training.evaluation import Evaluation
from cnnspec.view.fitting import Columns, width_of
from cnnspec.view.metrics import CLASS_TEXTS, CLASSES, MOST_CLASSES, class_columns
from cnnspec.view.table import table_lines


def print_classes(names: Sequence[str], found: Evaluation) -> None:
    """Print a table of the classes or labels."""
    if columns := class_columns(names, found):
        print_lines(table_lines(columns, painter(sys.stdout), CLASS_TEXTS, width=text_width(), narrow=CLASSES))


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
    return found.class_names(spec.classes_of.get(output, ()), dataset.classes)


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
