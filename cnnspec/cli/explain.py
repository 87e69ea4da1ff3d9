"""`cnnspec explain`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cnnspec import bundled
from cnnspec.cli.common import (
    ShapeType,
    error_line,
    format_option,
    given_options,
    painter,
    params_option,
    print_json,
    print_lines,
    show,
)
from cnnspec.cli.completion import complete_layer, complete_subject
from cnnspec.diagnostics import codes
from cnnspec.graph.costs import DTYPES
from cnnspec.graph.graph import Graph
from cnnspec.language.load import check
from cnnspec.layers import Shape
from cnnspec.wording import nearest

_FIRST_LAYERS = 5


@click.command("explain")
@click.argument("subject", required=False, metavar="[CODE|SPEC]", shell_complete=complete_subject)
@click.argument("layer", required=False, shell_complete=complete_layer)
@click.option("--all", "everything", is_flag=True, help="Print the pages of all codes as one Markdown document.")
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Samples of the memory figures.")
@click.option("--dtype", type=click.Choice([*DTYPES]), default="float32", show_default=True, help="Number format.")
@params_option
@format_option
def command(
    subject: str | None,
    layer: str | None,
    everything: bool,
    input_shape: Shape | None,
    batch: int,
    dtype: str,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Explain the code of a diagnostic, such as kernel-too-large, or a layer of a spec, such as `lenet conv2`.

    With SPEC LAYER: how the layer's shape, parameters, MACs, memory and receptive field come about, step by step, with
    the numbers. The layers of blocks have their full names, as `cnnspec check` lists them: `stage2.conv1`. Without
    arguments, the codes are listed.
    """
    if everything:
        from cnnspec.view.code_pages import all_pages

        if subject is not None:
            raise click.UsageError("--all prints the pages of all codes: leave out what is to be explained")
        click.echo(all_pages(), nl=False)
        return
    if layer is not None and subject is not None:
        _explain_layer(subject, layer, input_shape, batch, dtype, params, output_format)
        return
    if given := given_options():
        options = ", ".join(option for option in given if option.startswith("-"))
        if options:
            raise click.UsageError(f"{options} belongs to the explanation of a layer: `cnnspec explain SPEC LAYER`")
    _explain_code(subject)


def _explain_code(code: str | None) -> None:
    if code is None:
        width = max(map(len, codes()))
        print_lines(f"{name:<{width}}  {page.summary}" for name, page in codes().items())
        return
    if code not in codes():
        if _is_spec(code):
            raise click.UsageError(_missing_layer(code))
        near = nearest(code, codes())
        hint = f"; did you mean `{near}`?" if near else "; `cnnspec explain` lists them"
        error_line(f"no diagnostic has the code `{code}`{hint}")
        sys.exit(1)
    from cnnspec.view.code_pages import diagnostics_of_example

    page = codes()[code]
    print_lines([f"{code}: {page.summary}\n\n{page.text}"])
    if found := diagnostics_of_example(code):
        click.echo()
        show(found)


def _is_spec(name: str) -> bool:
    return name == "-" or Path(name).is_file() or bundled.find(name) is not None


def _missing_layer(spec: str) -> str:
    """Return what to write where a spec is named without a layer."""
    message = f"`{spec}` is a spec: name one of its layers, too"
    found = None if spec == "-" else check(spec, fixes=False).spec
    layers = [node.name for node in found.graph.nodes if node.inputs] if found else []
    if not layers:
        return f"{message}: `cnnspec explain {spec} LAYER`"
    shown = ", ".join(layers[:_FIRST_LAYERS]) + (", …" if len(layers) > _FIRST_LAYERS else "")
    return f"{message}, as in `cnnspec explain {spec} {layers[0]}`; it has {shown}"


def _explain_layer(
    subject: str,
    layer: str,
    input_shape: Shape | None,
    batch: int,
    dtype: str,
    params: dict[str, Any],
    output_format: str,
) -> None:
    from cnnspec.view.explanation import explain_layer, explanation_dict, explanation_lines

    report = check(subject, params=params, input_shape=input_shape)
    if report.spec is None:
        show(report.diagnostics)
        error_line(f"`{layer}` is explained where `{report.name}` has no errors")
        sys.exit(1)
    if layer not in report.spec.graph.by_name:
        error_line(_unknown_layer(report.name, layer, report.spec.graph))
        sys.exit(1)
    found = explain_layer(report.spec, layer, batch, dtype)
    if output_format == "json":
        print_json(explanation_dict(report.name, found))
    else:
        print_lines(explanation_lines(report.name, found, painter(sys.stdout)))


def _unknown_layer(spec: str, layer: str, graph: Graph) -> str:
    """Return the message about a layer that the network does not have, or about a block."""
    from cnnspec.graph.selection import matching, proposal

    layers = [node.name for node in graph.nodes]
    within = matching(layers, layer)
    if within:
        shown = ", ".join(within[:_FIRST_LAYERS])
        more = f" and {len(within) - _FIRST_LAYERS} more" if len(within) > _FIRST_LAYERS else ""
        return f"`{layer}` is a block of `{spec}`: name one of its layers, {shown}{more}"
    return f"`{spec}` has no layer `{layer}`: {proposal(layer, layers)}"
