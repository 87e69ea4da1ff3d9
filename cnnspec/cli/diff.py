"""`cnnspec diff`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from cnnspec.cli.common import packed, painter, params_option, parse_values, print_json, print_lines, text_width
from cnnspec.cli.completion import complete_spec
from cnnspec.diagnostics import Diagnostic, SpecError, format_diagnostic
from cnnspec.graph.difference import compare
from cnnspec.graph.spec import Spec
from cnnspec.language.load import check_despite_expectations

Sides = tuple[dict[str, Any], dict[str, Any]]

_sides_option = packed(
    "sides",
    lambda sets_a, sets_b: (
        parse_values("--set-a", sets_a, mappings=True),
        parse_values("--set-b", sets_b, mappings=True),
    ),
    click.option("--set-a", "sets_a", multiple=True, metavar="NAME=VALUE", help="Override a parameter of A alone."),
    click.option("--set-b", "sets_b", multiple=True, metavar="NAME=VALUE", help="Override a parameter of B alone."),
)


@click.command("diff")
@click.argument("a", shell_complete=complete_spec)
@click.argument("b", shell_complete=complete_spec)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of the memory figures.")
@click.option("--full", is_flag=True, help="Give each layer a line, also of blocks that are added or removed.")
@params_option
@_sides_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="Format of the output; Markdown is for a pull request.",
)
def command(a: str, b: str, batch: int, full: bool, params: dict[str, Any], sides: Sides, output_format: str) -> None:
    """Compare the specs A and B by meaning: layers, shapes, costs and settings; not how they are written.

    The layers are aligned by structure. Exit status: 0 where both mean the same, 1 where they differ or one has errors.
    What an author expects and a spec is not is reported beside the difference.
    """
    (before, failed_before), (after, failed_after) = (
        _load(name, {**params, **own}) for name, own in zip((a, b), sides, strict=True)
    )
    difference = compare(before, after, batch)
    for diagnostic in (*failed_before, *failed_after):
        click.echo(format_diagnostic(diagnostic, painter(sys.stderr)), err=True)
    if output_format == "json":
        from cnnspec.view.difference import to_dict

        print_json(to_dict(difference))
    elif output_format == "markdown":
        from cnnspec.view.difference_markdown import difference_markdown

        click.echo("\n".join(difference_markdown(difference)))  # a row of its tables is never wrapped
    else:
        from cnnspec.view.difference import difference_lines

        print_lines(difference_lines(difference, painter(sys.stdout), each=full, width=text_width()))
    sys.exit(0 if difference.is_empty and not failed_before and not failed_after else 1)


def _load(name: str, params: dict[str, Any]) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """Return a spec, and what its author expects and it is not; raise SpecError where it has other errors.

    The empty device stands for a file that is not there in git's tools, and so for no spec.
    """
    if name in ("/dev/null", os.devnull):
        return None, ()
    report = check_despite_expectations(name, params=params)
    if report.spec is None:
        raise SpecError(report.diagnostics)
    return report.spec, tuple(d for d in report.diagnostics if d.severity == "error")
