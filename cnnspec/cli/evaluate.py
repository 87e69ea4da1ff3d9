"""`cnnspec evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import format_option, given_options, params_option, print_json, print_lines
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import data_options, execution_options, weights_option
from cnnspec.cli.metrics import as_data, by_output, class_names, print_classes, print_confusion
from cnnspec.data import Dataset
from cnnspec.data.options import DataOptions
from cnnspec.graph.spec import Spec
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.evaluator import evaluate_run, evaluate_spec
from cnnspec.training.recorded import is_run
from cnnspec.view.metrics import summary

_FIELDS = {
    "--backend": "backend",
    "--device": "device",
    "--dtype": "dtype",
    "--memory-limit": "memory_limit",
    **dict.fromkeys(("--threads", "--numerics", "--autotune", "--option"), "options"),
}
"""The options that replace what a run was computed with, and the fields of an Execution that hold them."""


@click.command("evaluate")
@click.argument("spec", metavar="SPEC|RUN", shell_complete=complete_spec)
@data_options
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Part of the dataset; `validation` is what training holds out, `train` the rest.",
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
    """Evaluate weights of SPEC's network, or the result of a training RUN, on a dataset.

    Shows the loss, the metrics of the task and those of each class. Of a RUN, the folder of a training, the spec, the
    best weights, the data and the backend are used where no option gives another.
    """
    if is_run(spec):
        if params:
            raise click.UsageError("a run has its own spec, with its parameters: leave out --set")
        found = evaluate_run(Path(spec), given_fields(execution), data, weights=weights, batch=batch, split=split)
    else:
        loaded = load_spec(spec, params, data.resize)
        found = evaluate_spec(loaded, execution, data, weights=weights, batch=batch, split=split)
    _show(*found, split, output_format)


def given_fields(execution: Execution) -> dict[str, Any]:
    """Return the fields of an Execution that options of the command line give, which replace those of a run."""
    return {field: getattr(execution, field) for option, field in _FIELDS.items() if option in given_options()}


def _show(spec: Spec, dataset: Dataset, found: Evaluation, split: str, output_format: str) -> None:
    """Print an evaluation; only the first of several processes does."""
    if found.process != 0:
        return
    if output_format == "json":
        print_json({"spec": spec.name, "data": dataset.name, "split": split} | as_data(spec, dataset, found))
        return
    print_lines([f"{spec.name} on {dataset.name} ({split}): {summary(found)}, {found.samples:,} samples"])
    for name, one in by_output(spec, found).items():
        if found.outputs:
            print_lines(["", f"{name}: {summary(one)}"])
        if one.per_class():
            click.echo()
            names = class_names(spec, dataset, name, one)
            print_classes(names, one)
            print_confusion(names, one)
