"""`cnnspec check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cnnspec.cli.check_options import CostOptions, cost_options, members_option
from cnnspec.cli.common import ShapeType, painter, print_json, print_lines, show, text_width
from cnnspec.diagnostics import Diagnostic, Source
from cnnspec.graph.budgets import over_budget
from cnnspec.graph.costs import Summary
from cnnspec.language.files import read_file
from cnnspec.language.load import Report, check
from cnnspec.layers import Shape

if TYPE_CHECKING:
    from cnnspec.graph.valid_sizes import ValidSizes


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@click.option("--explain", is_flag=True, help="Print the formulas of each layer with their numbers.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
@cost_options
@members_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="Format of the output; csv is a row for each network.",
)
def command(
    specs: tuple[str, ...],
    input_shape: Shape | None,
    explain: bool,
    quiet: bool,
    costs: CostOptions,
    members: list[dict[str, Any]],
    output_format: str,
) -> None:
    """Check SPEC: compute every shape, and show the cost of each layer. Nothing is run, no framework is imported.

    With several values of a parameter (--set width=1,2,4), every combination is checked, and has a row of its own.
    """
    views = {"--explain": explain, "--per-block": costs.per_block, "--sizes": costs.sizes}
    if output_format != "json":
        _refuse([option for option, given in views.items() if given], output_format == "csv" or len(members) > 1)
    checked = [_checked(spec, params, input_shape, costs) for spec in map(_once, specs) for params in members]
    reports = [each.report for each in checked]
    if output_format == "json":
        found = [_to_dict(each, costs, family=len(members) > 1) for each in checked]
        print_json(found[0] if len(found) == 1 else found)
    elif output_format == "csv" or len(members) > 1:
        _print_family(checked, costs, as_csv=output_format == "csv")
    else:
        for each in checked:
            _print(each, costs, explain, quiet)
        if len(reports) > 1 and not quiet:
            faulty = sum(not report.ok for report in reports)
            click.echo(f"{len(reports)} specs: {len(reports) - faulty} valid, {faulty} with errors")
    sys.exit(0 if all(report.ok for report in reports) else 1)


def _refuse(views: list[str], family: bool) -> None:
    """Refuse options that show other things of one network, or details of one where there is a row for each."""
    if family and views:
        raise click.UsageError(f"{views[0]} shows one network in detail: leave it out, or use --format json")
    if len(views) > 1:
        raise click.UsageError(f"{' and '.join(views)} show different things: give one of them, or use --format json")


class _Checked(NamedTuple):
    """A network: the spec as it was named, the parameters that were set, the report, and the costs if it is valid."""

    spec: str | Source
    params: dict[str, Any]
    report: Report
    summary: Summary | None

    def sizes(self) -> list[ValidSizes]:
        """Return the sizes of its inputs that the network accepts."""
        from cnnspec.graph.valid_sizes import valid_sizes
        from cnnspec.language.resized import resizing

        assert self.report.spec is not None
        graph = self.report.spec.graph
        return valid_sizes(graph, resizing(graph, self.spec, self.params))


def _once(spec: str) -> str | Source:
    """Return the text of standard input, which can be read once, and any other name as it is."""
    return read_file(spec) if spec == "-" else spec


def _checked(spec: str | Source, params: dict[str, Any], input_shape: Shape | None, costs: CostOptions) -> _Checked:
    """Check a network and compute its costs; a figure beyond its budget is an error."""
    report = check(spec, params=params, input_shape=input_shape)
    if report.spec is None:
        return _Checked(spec, params, report, None)
    summary = costs.summary(report.spec)
    if over := over_budget(report.spec.graph, summary, costs.budgets, costs.itemsize):
        report = replace(report, diagnostics=(*report.diagnostics, *over))
    return _Checked(spec, params, report, summary)


def _to_dict(checked: _Checked, costs: CostOptions, *, family: bool) -> dict[str, Any]:
    from cnnspec.view.report import to_dict

    report, summary = checked.report, checked.summary
    found = to_dict(report, costs.batch, summary=summary)
    if family:
        found = {"spec": found.pop("spec"), "params": checked.params, **found}
    if report.spec is None or summary is None:
        return found
    if costs.per_block:
        from cnnspec.view.costs import blocks_dict

        found["blocks"] = blocks_dict(summary)
    if costs.fit is not None:
        from cnnspec.view.costs import fit

        found["fit"] = fit(report.spec, costs.fit, costs.itemsize, costs.optimizer)._asdict()
    if costs.sizes:
        from cnnspec.view.sizes import sizes_dict

        found["sizes"] = sizes_dict(checked.sizes())
    return found


def _print_family(checked: Sequence[_Checked], costs: CostOptions, *, as_csv: bool) -> None:
    from cnnspec.view.costs import Member, fit, member_lines, member_records

    members = []
    for _, params, report, summary in checked:
        graph, fitting = None, None
        if report.spec is not None:
            graph = report.spec.graph
            if costs.fit is not None:
                fitting = fit(report.spec, costs.fit, costs.itemsize, costs.optimizer)
        members.append(Member(report.name, params, graph, summary, _first_error(report), fitting))
    if as_csv:
        import csv

        records = member_records(members)
        writer = csv.DictWriter(sys.stdout, [*records[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return
    print_lines([*member_lines(members, painter(sys.stdout)), ""])
    faulty = sum(bool(member.error) for member in members)
    click.echo(f"{len(members)} networks: {len(members) - faulty} valid, {faulty} with errors")


def _first_error(report: Report) -> str:
    return next((f"{d.code}: {d.message}" for d in report.diagnostics if d.severity == "error"), "")


def _print(checked: _Checked, costs: CostOptions, explain: bool, quiet: bool) -> None:
    report, summary = checked.report, checked.summary
    show(report.diagnostics)
    if quiet:
        return
    paint = painter(sys.stdout)
    name = paint(report.name, "bold")
    if report.spec is None or summary is None:
        print_lines([f"{name}: {_count(report.diagnostics, 'error')}", ""])
        return
    from cnnspec.view.table import explanation, network_lines, totals_lines

    graph, width = report.spec.graph, text_width()
    counts = [_count(report.diagnostics, severity) for severity in ("error", "warning", "note")]
    remarks = "".join(f", {count}" for count in counts if not count.startswith("0 "))
    if costs.sizes:
        from cnnspec.view.sizes import size_lines

        print_lines([f"{name}: every shape fits{remarks}", "", *size_lines(graph, checked.sizes(), paint), ""])
        return
    if explain:
        body = explanation(graph, summary, paint)
    elif costs.per_block:
        from cnnspec.view.costs import block_lines

        body = block_lines(summary, paint)
    else:
        body = network_lines(graph, summary, width, paint)
    totals = totals_lines(summary, costs.batch, width, costs.dtype)
    if costs.fit is not None:
        from cnnspec.view.costs import fit, fit_lines

        totals += fit_lines(fit(report.spec, costs.fit, costs.itemsize, costs.optimizer), summary.optimizer)
    print_lines([f"{name}: every shape fits{remarks}", "", *body, "", *totals, ""])


def _count(diagnostics: tuple[Diagnostic, ...], severity: str) -> str:
    count = sum(d.severity == severity for d in diagnostics)
    return f"{count} {severity}{'s' * (count != 1)}"
