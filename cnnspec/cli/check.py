"""`cnnspec check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec.cli.common import (
    ShapeType,
    format_option,
    painter,
    params_option,
    print_json,
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
@format_option
def command(
    specs: tuple[str, ...],
    input_shape: Shape | None,
    batch: int,
    explain: bool,
    quiet: bool,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Check SPEC: compute every shape, and show the cost of each layer. Nothing is run, no framework is imported."""
    reports = [check(spec, params=params, input_shape=input_shape) for spec in specs]
    if output_format == "json":
        from cnnspec.view.report import to_dict

        found = [to_dict(report, batch) for report in reports]
        print_json(found[0] if len(found) == 1 else found)
    else:
        for report in reports:
            _print(report, batch, explain, quiet)
        if len(reports) > 1 and not quiet:
            faulty = sum(not report.ok for report in reports)
            click.echo(f"{len(reports)} specs: {len(reports) - faulty} valid, {faulty} with errors")
    sys.exit(0 if all(report.ok for report in reports) else 1)


def _print(report: Report, batch: int, explain: bool, quiet: bool) -> None:
    show(report.diagnostics)
    if quiet:
        return
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
