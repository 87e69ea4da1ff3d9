"""`cnnspec check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec import api
from cnnspec.cli.common import ShapeType, console, format_option, print_json, set_option, settings, show
from cnnspec.layers import Shape
from cnnspec.report import to_dict
from cnnspec.summary import summarize


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--input", "input_shape", type=ShapeType(), help="Another input shape than the spec's.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples that memory counts.")
@click.option("--explain", is_flag=True, help="Print each layer's formulas with the numbers in them.")
@click.option("-q", "--quiet", is_flag=True, help="Print faults and warnings only.")
@set_option
@format_option
def command(
    specs: tuple[str, ...],
    input_shape: Shape | None,
    batch: int,
    explain: bool,
    quiet: bool,
    sets: tuple[str, ...],
    form: str,
) -> None:
    """Prove every shape of SPEC, and show what it costs; nothing is run and no framework is imported."""
    reports = [api.check(spec, params=settings(sets), input_shape=input_shape) for spec in specs]
    if form == "json":
        found = [to_dict(report, batch) for report in reports]
        print_json(found[0] if len(found) == 1 else found)
    else:
        for report in reports:
            _print(report, batch, explain, quiet)
    sys.exit(0 if all(report.ok for report in reports) else 1)


def _print(report: api.Report, batch: int, explain: bool, quiet: bool) -> None:
    show(report.diagnostics)
    errors = sum(d.severity == "error" for d in report.diagnostics)
    if report.graph is None:
        if not quiet:
            click.echo(f"{report.spec}: {errors} error{'s' * (errors != 1)}\n")
        return
    if quiet:
        return
    from cnnspec.cli.table import explanation, network_table, totals_text

    out: Any = console()
    summary = summarize(report.graph, batch)
    out.print(f"[bold]{report.graph.name}[/bold]: every shape fits\n")
    if explain:
        click.echo("\n".join(explanation(report.graph, summary)) + "\n")
    else:
        out.print(network_table(report.graph, summary, out.width))
        click.echo()
    for line in totals_text(summary, batch):
        click.echo(line)
    click.echo()
