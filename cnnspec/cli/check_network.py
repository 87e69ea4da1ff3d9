"""What `check` shows of networks: the tables of one, a row for each of a family, and what JSON holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cnnspec.cli.check_options import CostOptions
from cnnspec.cli.check_output import Output
from cnnspec.cli.common import fixable, painter, print_lines, show, text_width
from cnnspec.diagnostics import Diagnostic, Source
from cnnspec.graph.budgets import over_budget
from cnnspec.graph.costs import Summary
from cnnspec.language.load import Report, check
from cnnspec.layers import Shape

if TYPE_CHECKING:
    from cnnspec.graph.valid_sizes import ValidSizes


class Network(NamedTuple):
    """A network: the spec as it was named, the parameters that were set, the report, and the costs if it is valid."""

    spec: str | Source
    params: dict[str, Any]
    report: Report
    summary: Summary | None

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.report.ok

    @classmethod
    def check(
        cls, spec: str | Source, params: dict[str, Any], input_shape: Shape | None, costs: CostOptions, output: Output
    ) -> Network:
        """Check a network and compute its costs; a figure beyond its budget is an error."""
        report = check(spec, params=params, input_shape=input_shape, notes=output.notes)
        summary = None if report.spec is None else costs.summary(report.spec)
        return cls(spec, params, judged(report, costs, strict=output.strict, summary=summary), summary)


def judged(report: Report, costs: CostOptions, *, strict: bool, summary: Summary | None = None) -> Report:
    """Return the report with an error for each figure beyond its budget; where `strict`, with warnings as errors."""
    if strict:
        stricter = (replace(d, severity="error") if d.severity == "warning" else d for d in report.diagnostics)
        report = replace(report, diagnostics=tuple(stricter))
    if report.spec is None or not costs.budgets:
        return report
    summary = summary or costs.summary(report.spec)
    over = over_budget(report.spec.graph, summary, costs.budgets, costs.itemsize)
    return replace(report, diagnostics=(*report.diagnostics, *over))


def details(
    report: Report, source: Source | None, costs: CostOptions, params: dict[str, Any], *, is_member: bool
) -> dict[str, Any]:
    """Return what `check --format json` prints of a network; the parameters, too, of a member of a family."""
    from cnnspec.view.report import to_dict

    summary = None if report.spec is None else costs.summary(report.spec)
    found = to_dict(report, costs.batch, summary=summary)
    if is_member:
        found = {"spec": found.pop("spec"), "params": params, **found}
    if report.spec is None or summary is None:
        return found
    if costs.per_block:
        from cnnspec.view.costs import blocks_dict

        found["blocks"] = blocks_dict(summary)
    if costs.fit is not None:
        from cnnspec.view.costs import fit

        found["fit"] = fit(report.spec, costs.fit, costs.itemsize, costs.train(report.spec))._asdict()
    if costs.sizes and source is not None:
        from cnnspec.view.sizes import sizes_dict

        found["sizes"] = sizes_dict(_valid_sizes(report, source, params))
    return found


def _valid_sizes(report: Report, spec: str | Source, params: dict[str, Any]) -> list[ValidSizes]:
    """Return the sizes of its inputs that a network accepts."""
    from cnnspec.graph.valid_sizes import valid_sizes
    from cnnspec.language.resized import resizing

    assert report.spec is not None
    graph = report.spec.graph
    return valid_sizes(graph, resizing(graph, spec, params))


def print_family(networks: Sequence[Network], costs: CostOptions, output: Output) -> None:
    """Print a row for each network."""
    from cnnspec.view.costs import Member, fit, member_csv, member_lines

    members = []
    for _, params, report, summary in networks:
        graph, fitting = None, None
        if report.spec is not None:
            graph = report.spec.graph
            if costs.fit is not None:
                fitting = fit(report.spec, costs.fit, costs.itemsize, costs.train(report.spec))
        members.append(Member(report.name, params, graph, summary, _first_error(report), fitting))
    if output.format == "csv":
        output.emit(member_csv(members))
        return
    print_lines([*member_lines(members, painter(sys.stdout), text_width()), ""])
    faulty = sum(bool(member.error) for member in members)
    click.echo(f"{len(members)} networks: {len(members) - faulty} valid, {faulty} with errors")


def _first_error(report: Report) -> str:
    return next((f"{d.code}: {d.message}" for d in report.diagnostics if d.severity == "error"), "")


def print_network(network: Network, costs: CostOptions, *, explain: bool) -> None:
    """Print the diagnostics of a network, its layers or what else is asked for, and its totals."""
    spec, params, report, summary = network
    show(report.diagnostics)
    paint = painter(sys.stdout)
    name = paint(report.name, "bold")
    if report.spec is None or summary is None:
        errors = [_count(report.diagnostics, "error"), fixable(report.diagnostics)]
        print_lines([f"{name}: {', '.join(filter(None, errors))}", ""])
        return
    from cnnspec.view.table import explanation, network_lines, totals_lines

    graph, width = report.spec.graph, text_width()
    counts = [_count(report.diagnostics, severity) for severity in ("error", "warning", "note")]
    remarks = "".join(f", {count}" for count in counts if not count.startswith("0 "))
    if costs.sizes:
        from cnnspec.view.sizes import size_lines

        sizes = _valid_sizes(report, spec, params)
        print_lines([f"{name}: every shape fits{remarks}", "", *size_lines(graph, sizes, paint), ""])
        return
    if explain:
        body = explanation(graph, summary, paint)
    elif costs.per_block:
        from cnnspec.view.costs import block_lines

        body = block_lines(summary, paint, width)
    else:
        body = network_lines(graph, summary, width, paint)
    totals = totals_lines(summary, costs.batch, width, costs.dtype)
    if costs.fit is not None:
        from cnnspec.view.costs import fit, fit_lines

        totals += fit_lines(fit(report.spec, costs.fit, costs.itemsize, costs.train(report.spec)), summary.optimizer)
    print_lines([f"{name}: every shape fits{remarks}", "", *body, "", *totals, ""])


def _count(diagnostics: tuple[Diagnostic, ...], severity: str) -> str:
    count = sum(d.severity == severity for d in diagnostics)
    return f"{count} {severity}{'s' * (count != 1)}"
