"""`cnnspec evaluate`."""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np

from cnnspec.arrays import Array
from cnnspec.cli.common import format_option, painter, params_option, print_json, print_lines
from cnnspec.cli.execution import data_options, execution_options, weights_option
from cnnspec.data import Dataset, Loader
from cnnspec.data.options import DataOptions
from cnnspec.graph.spec import Spec
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.run import evaluate_spec
from cnnspec.view.table import percent, table_lines


@click.command("evaluate")
@click.argument("spec")
@data_options
@click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Part of the dataset."
)
@click.option("--batch", type=click.IntRange(1), default=256, show_default=True, help="Samples in a batch.")
@weights_option
@execution_options
@params_option
@format_option
def command(
    spec: str,
    data: DataOptions,
    split: str,
    batch: int,
    weights: str | None,
    execution: Execution,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Evaluate weights of SPEC's network on a dataset: loss, accuracy, metrics of each class, confusion matrix."""
    loaded = load_spec(spec, params, data.resize)
    with Loader(data.workers) as loader:
        loaded, dataset, found = evaluate_spec(
            loaded, execution, data, weights=weights, batch=batch, split=split, loader=loader
        )
    if found.process != 0:
        return
    of_each = found.outputs or {loaded.graph.output_names[0]: found}
    names = {name: _class_names(loaded, dataset, name) for name in of_each}
    if output_format == "json":
        about = {"spec": loaded.name, "data": dataset.name, "split": split, "samples": found.samples}
        if found.outputs:
            outputs = {name: _as_data(names[name], one) for name, one in of_each.items()}
            print_json(about | {"loss": found.loss, "outputs": outputs})
        else:
            print_json(about | _as_data(next(iter(names.values())), found))
        return
    click.echo(f"{loaded.name} on {dataset.name} ({split}): {_summary(found)}, {found.samples:,} samples\n")
    for name, one in of_each.items():
        if found.outputs:
            click.echo(f"{name}: {_summary(one)}\n")
        if one.confusion is not None:
            _print_classes(names[name], one)
            if found.outputs:
                click.echo()


def _class_names(spec: Spec, dataset: Dataset, output: str) -> list[str]:
    """Return the names of the classes of an output: the spec's, the data's, or their numbers."""
    count = spec.graph.output_nodes[output].shape[0]
    return list(spec.classes_of.get(output) or dataset.classes or map(str, range(count)))


def _summary(found: Evaluation) -> str:
    accuracy = f"accuracy {found.accuracy:.2%}, ".replace("%", " %") if found.accuracy is not None else ""
    return f"{accuracy}loss {found.loss:.4f}"


def _as_data(names: list[str], found: Evaluation) -> dict[str, Any]:
    return {
        "loss": found.loss,
        "accuracy": found.accuracy,
        "classes": [{"name": n} | entry for n, entry in zip(names, found.per_class(), strict=False)],
        "confusion": found.confusion.tolist() if found.confusion is not None else None,
    }


def _print_classes(names: list[str], found: Evaluation) -> None:
    assert found.confusion is not None
    paint = painter(sys.stdout)
    entries = found.per_class()
    columns = {
        "class": names,
        "samples": [f"{entry['samples']:,}" for entry in entries],
        "recall": [_percent(entry["recall"]) for entry in entries],
        "precision": [_percent(entry["precision"]) for entry in entries],
        "most often confused with": [_most_confused(names, row, i) for i, row in enumerate(found.confusion)],
    }
    print_lines(table_lines(columns, paint, left=("class", "most often confused with")))
    if len(names) > 20:
        return
    click.echo("\nconfusion matrix (rows: actual class; columns: predicted class)\n")
    heads = [name[:8] for name in names]
    if len(set(heads)) < len(names):
        heads = [str(i) for i in range(len(names))]
    cells = {head: [f"{n or '·'}" for n in column] for head, column in zip(heads, found.confusion.T, strict=True)}
    print_lines(table_lines({"": names, **cells}, paint, left=("",)))


def _most_confused(names: list[str], row: Array, own: int) -> str:
    others = np.where(np.arange(len(row)) == own, 0, row)
    return f"{names[int(others.argmax())]} ({int(others.max())})" if others.any() else ""


def _percent(value: float | None) -> str:
    return "–" if value is None else percent(value)
