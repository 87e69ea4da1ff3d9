"""`cnnspec report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cnnspec import atomic
from cnnspec.cli.common import error_line, params_option, show
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.evaluate import given_fields
from cnnspec.cli.execution import data_options, execution_options, weights_option
from cnnspec.data.options import DataOptions
from cnnspec.language.load import Report, check
from cnnspec.report.data import recorded_run
from cnnspec.report.write import report_html
from cnnspec.runtime.options import Execution
from cnnspec.sizes import size_of
from cnnspec.training.recorded import SPEC, is_run


@click.command("report")
@click.argument("spec", metavar="SPEC|RUN", shell_complete=complete_spec)
@click.option("--input", "files", multiple=True, metavar="FILE", help="npy, npz, PNG, JPEG, IDX (gzip or not), -.")
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of a training of the network: curves, mistakes, histograms.",
)
@click.option("--samples", type=click.IntRange(1), help="The most samples of the evaluation data; all without it.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@data_options
@weights_option
@execution_options
@params_option
def command(
    spec: str,
    files: tuple[str, ...],
    run: Path | None,
    samples: int | None,
    output: Path,
    data: DataOptions,
    weights: str | None,
    execution: Execution,
    params: dict[str, Any],
) -> None:
    """Write one HTML file about the network of SPEC, which needs nothing else to be looked at.

    It has the totals, a diagram in which each layer explains its figures, a table of the layers, where parameters, MACs
    and memory go, and what each unit reads of the input. --weights adds the kernels of the first convolution; --input
    the values of every layer for a sample; --run the curves of a training, and what its result makes of the evaluation
    data: the confusion matrix, mistakes, dead units. In place of SPEC and --run, RUN is both; its weights, data and
    backend are used where no option gives others.

    It needs the extra `report`: pip install 'cnnspec[report]'.
    """
    if is_run(spec):
        if run is not None or params:
            raise click.UsageError("a run has its own spec: leave out --run and --set")
        run, spec = Path(spec), str(Path(spec) / SPEC)
    checked = check(spec, params=params, notes=True)
    if checked.spec is None:
        show(checked.diagnostics, sys.stderr)
        error_line(f"there is a report on `{checked.name}` once it has no errors")
        sys.exit(1)
    if data.resize:
        checked = Report(checked.name, checked.spec.resizing(), checked.diagnostics)
    if run is not None:
        execution = recorded_run(run).execution_with(given_fields(execution))
    text = report_html(
        checked, weights=weights, run=run, inputs=files, data=data, samples=samples, execution=execution
    ).encode()
    atomic.write(output, text)
    click.echo(f"{output}: {size_of(len(text))}")
