"""`cnnspec check`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from cnnspec.cli.check_network import Network, details, judged, print_family, print_network
from cnnspec.cli.check_options import CostOptions, cost_options, members_option
from cnnspec.cli.check_output import Output, counted, output_options
from cnnspec.cli.common import ShapeType
from cnnspec.cli.completion import complete_spec
from cnnspec.diagnostics import Source
from cnnspec.language.files import read_file
from cnnspec.layers import Shape


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=complete_spec)
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@click.option("--explain", is_flag=True, help="Print the formulas of each layer with their numbers.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
@click.option("--fix", "fixes", is_flag=True, help="Apply the fixes that are certain to the files, and show them.")
@click.option("--dry-run", is_flag=True, help="With --fix: show what would change, and write nothing.")
@cost_options
@members_option
@output_options
def command(
    specs: tuple[str, ...],
    input_shape: Shape | None,
    explain: bool,
    quiet: bool,
    fixes: bool,
    dry_run: bool,
    costs: CostOptions,
    members: list[dict[str, Any]],
    output: Output,
) -> None:
    """Check SPEC: compute every shape, and show the cost of each layer. Nothing is run, no framework is imported.

    A directory stands for every spec below it, a quoted pattern such as "nets/**/*.yaml" for every one that matches.
    With several values of a parameter (--set width=1,2,4), every combination is checked, and has a row of its own.
    """
    is_family = len(members) > 1
    has_rows = output.format == "csv" or (is_family and output.format == "text")
    views = {"--explain": explain, "--per-block": costs.per_block, "--sizes": costs.sizes}
    if output.format != "json":
        _refuse([option for option, given in views.items() if given], has_rows)
    found = output.find(specs, quiet=quiet)
    if dry_run and not fixes:
        raise click.UsageError("--dry-run belongs to --fix")
    if fixes:
        if is_family or output.format != "text" or input_shape is not None:
            raise click.UsageError("--fix prints text, for one value of each parameter and the spec's own input")
        from cnnspec.cli.check_fix import fix_files

        fixed = fix_files(found.specs, members[0], dry_run=dry_run)
        sys.exit(0 if all(report.ok for report in fixed) else 1)
    texts = [_once(spec) for spec in found.specs]
    if has_rows or output.has_tables(found, quiet=quiet, asked=any(views.values())):
        networks = [Network.check(spec, params, input_shape, costs, output) for spec in texts for params in members]
        if has_rows:
            print_family(networks, costs, output)
        else:
            for network in networks:
                print_network(network, costs, explain=explain)
            if len(networks) > 1:
                click.echo(counted(networks))
        sys.exit(0 if all(network.ok for network in networks) else 1)
    from cnnspec.language.project.checking import Settings

    by_member = []
    for params in members:
        kept = partial(details, costs=costs, params=params, is_member=is_family) if output.format == "json" else None
        refine = partial(judged, costs=costs, strict=output.strict) if costs.budgets or output.strict else None
        by_member.append(output.check(texts, Settings(params, input_shape, output.notes, refine, kept)))
    checked = [result for of_spec in zip(*by_member, strict=True) for result in of_spec]
    output.write(checked, as_list=len(checked) != 1 or found.has_directories, quiet=quiet)
    sys.exit(0 if all(result.ok for result in checked) else 1)


def _refuse(views: list[str], has_rows: bool) -> None:
    """Refuse options that show other things of one network, or details of one where there is a row for each."""
    if has_rows and views:
        raise click.UsageError(f"{views[0]} shows one network in detail: leave it out, or use --format json")
    if len(views) > 1:
        raise click.UsageError(f"{' and '.join(views)} show different things: give one of them, or use --format json")


def _once(spec: str) -> str | Source:
    """Return the text of standard input, which can be read once, and any other name as it is."""
    return read_file(spec) if spec == "-" else spec
