"""`cnnspec specs`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from cnnspec import bundled
from cnnspec.bundled import MODELINE
from cnnspec.cli.common import format_option, painter, print_json, print_lines, text_width
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Node
from cnnspec.language.files import read_spec
from cnnspec.language.load import load
from cnnspec.view.fitting import Narrow, width_of
from cnnspec.view.table import table_lines
from cnnspec.wording import format_shape

_ABOUT = 30
"""Cells of the description for which other columns are left out."""


@click.command("specs")
@format_option
def command(output_format: str) -> None:
    """List the bundled specs with their input shapes, parameters and descriptions."""
    found: list[dict[str, Any]] = []
    for name in bundled.names():
        spec = load(name)
        graph = spec.graph
        found.append(
            {
                "name": name,
                "input": _shapes({name: graph.by_name[name] for name in graph.inputs}),
                "output": _shapes(graph.output_nodes),
                "parameters": trainable(graph.nodes),
                "macs": macs(graph.nodes),
                "about": _headline(read_spec(name).text),
            }
        )
    if output_format == "json":
        print_json(found)
        return
    columns = {
        "name": [entry["name"] for entry in found],
        "input": [_as_text(entry["input"]) for entry in found],
        "parameters": [f"{entry['parameters']:,}" for entry in found],
        "MACs": [f"{entry['macs']:,}" for entry in found],
        "about": [entry["about"] for entry in found],
    }
    width = text_width()
    for name in ("MACs", "parameters", "input"):
        if width is not None and width_of({**columns, "about": [" " * _ABOUT]}) > width:
            del columns[name]
    left, narrow = ("name", "about"), Narrow(texts=("about",))
    print_lines(table_lines(columns, painter(sys.stdout), left, width=width, narrow=narrow))


def _shapes(nodes: Mapping[str, Node]) -> list[int] | dict[str, list[int]]:
    """Return the shape of the one node, or the shapes of several by name."""
    shapes = {name: list(node.shape) for name, node in nodes.items()}
    return shapes if len(shapes) > 1 else next(iter(shapes.values()))


def _as_text(shapes: list[int] | dict[str, list[int]]) -> str:
    return format_shape(shapes) if isinstance(shapes, list) else ", ".join(map(format_shape, shapes.values()))


def _headline(text: str) -> str:
    """Return the first sentence of the spec's opening comment."""
    lines = []
    for line in text.splitlines():
        if line.startswith(MODELINE):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return re.split(r"(?<!et al)\. ", " ".join(lines))[0].rstrip(".")
