"""`cnnspec check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec.cli.check_output import Output, counted, output_options
from cnnspec.cli.common import (
    ShapeType,
    painter,
    params_option,
    print_lines,
    show,
    text_width,
)
from cnnspec.diagnostics import Diagnostic
from cnnspec.graph.costs import summarize
from cnnspec.language.load import Report, check
from cnnspec.layers import Shape


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of the memory figures.")
@click.option("--explain", is_flag=True, help="Print the formulas of each layer with their numbers.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
@params_option
@output_options
def command(
    specs: tuple[str, ...],
    input_shape: Shape | None,
    batch: int,
    explain: bool,
    quiet: bool,
    params: dict[str, Any],
    output: Output,
) -> None:
    """Check SPEC: compute every shape, and show the cost of each layer. Nothing is run, no framework is imported.

    A directory stands for every spec below it, a quoted pattern such as "nets/**/*.yaml" for every one that matches.
    """
    found = output.find(specs, quiet=quiet)
    if output.has_tables(found, quiet=quiet, explain=explain):
        reports = [check(spec, params=params, input_shape=input_shape) for spec in found.specs]
        for report in reports:
            _print(report, batch, explain)
        if len(reports) > 1:
            click.echo(counted(reports))
        sys.exit(0 if all(report.ok for report in reports) else 1)
    from cnnspec.language.project.checking import Settings

    checked = output.check(found, Settings(params, input_shape, output.conclude(batch)))
    output.write(checked, as_list=len(checked) != 1 or found.has_directories, quiet=quiet)
    sys.exit(0 if all(result.ok for result in checked) else 1)


def _print(report: Report, batch: int, explain: bool) -> None:
    show(report.diagnostics)
    paint = painter(sys.stdout)
    name = paint(report.name, "bold")
    if report.spec is None:
        print_lines([f"{name}: {_count(report.diagnostics, 'error')}", ""])
        return
    from cnnspec.view.table import explanation, network_lines, totals_lines

    graph, width = report.spec.graph, text_width()
    summary = summarize(graph, batch, optimizer=report.spec.optimizer)
    warnings = f", {_count(report.diagnostics, 'warning')}" if report.diagnostics else ""
    body = explanation(graph, summary, paint) if explain else network_lines(graph, summary, width, paint)
    print_lines([f"{name}: every shape fits{warnings}", "", *body, "", *totals_lines(summary, batch, width), ""])


def _count(diagnostics: tuple[Diagnostic, ...], severity: str) -> str:
    count = sum(d.severity == severity for d in diagnostics)
    return f"{count} {severity}{'s' * (count != 1)}"
