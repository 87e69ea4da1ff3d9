"""`cnnspec weights convert` and `cnnspec weights show`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from textwrap import shorten
from typing import Any

import click

from cnnspec.cli.common import format_option, painter, params_option, print_json, print_lines, text_width
from cnnspec.cli.completion import complete_spec
from cnnspec.graph.graph import Graph
from cnnspec.interop.torch_import.assignment import assigned
from cnnspec.interop.torch_import.factory import load_state, module_of
from cnnspec.language.load import load
from cnnspec.sizes import size_of
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import table_lines
from cnnspec.weights import conversion, hub, keras_conversion, keras_files
from cnnspec.weights import files as weights
from cnnspec.wording import format_shape


@click.group("weights")
def command() -> None:
    """Convert weights of PyTorch and Keras, and inspect safetensors files."""


@command.command("convert")
@click.argument("spec", shell_complete=complete_spec)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="FILE",
    help="Safetensors, .pth .pt .bin .ckpt of PyTorch, .keras .h5; or hf://OWNER/NAME/FILE.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.option("--module", metavar="PLACE", help="The PyTorch module of FILE: `package.module:factory`; it is run.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Replace OLD by NEW at the beginning of names.")
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Leave out these names; * matches anything.")
@params_option
@format_option
def convert(
    spec: str,
    source: str,
    output: Path,
    module: str | None,
    rename: tuple[str, ...],
    ignore: tuple[str, ...],
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Map weights of PyTorch or Keras onto SPEC, show which tensor became which, and write them as safetensors.

    Tensors are assigned by name where SPEC has the name, and else by order among the layers of one shape. Ambiguous,
    surplus and missing tensors are errors, and nothing is written. --ignore is applied before --rename. Layers of Keras
    are matched by name alone, as `export --to keras` writes them.

    With --module, FILE is loaded into that module, whose layers are paired with those of SPEC by what they read, and
    the outputs of both are compared.
    """
    graph = load(spec, params=params).graph
    if module is not None:
        found = _by_module(graph, source, module, bool(rename or ignore))
    else:
        of_keras = keras_files.is_keras(source)
        rules = [_rule(text) for text in rename]
        found = (keras_conversion if of_keras else conversion).convert(graph, source, rules, ignore)
    name = source if hub.is_reference(source) else Path(source).name
    weights.write(output, found.arrays, {"spec": graph.name, "source": name})
    if output_format == "json":
        print_json(
            {
                "spec": graph.name,
                "source": source,
                "output": str(output),
                "tensors": [pair._asdict() for pair in found.pairs],
                "notes": found.notes,
            }
        )
        return
    paint = painter(sys.stdout)
    columns = {
        "file": [_printable(pair.source) for pair in found.pairs],
        "spec": [pair.name for pair in found.pairs],
        "shape": [format_shape(pair.shape) for pair in found.pairs],
        "note": [_note(pair) for pair in found.pairs],
    }
    if not any(columns["note"]):
        del columns["note"]
    print_lines([f"{paint(graph.name, 'bold')}: weights of {source}", *found.notes, ""])
    narrow = Narrow(("shape",), names=("file", "spec"), texts=("note",))
    print_lines(table_lines(columns, paint, ("file", "spec", "note"), width=text_width(), narrow=narrow))
    click.echo(f"\n{_totals([pair.shape for pair in found.pairs])} written to {output}")


@command.command("show")
@click.argument("file")
@format_option
def show(file: str, output_format: str) -> None:
    """Show the names, shapes and data types of a safetensors FILE (or bundled weights), and its metadata.

    FILE may also be hf://OWNER/NAME/FILE.
    """
    path = weights.find(file)
    entries, metadata = conversion.stored(path, called=file), weights.metadata(path)
    if output_format == "json":
        print_json(
            {
                "file": file if hub.is_reference(file) else str(path),
                "metadata": metadata,
                "tensors": [entry._asdict() for entry in entries],
            }
        )
        return
    columns = {
        "name": [_printable(entry.name) for entry in entries],
        "shape": [format_shape(entry.shape) or "number" for entry in entries],
        "format": [entry.dtype for entry in entries],
    }
    paint = painter(sys.stdout)
    about = [f"{_printable(key)}: {shorten(_printable(text), 200)}" for key, text in sorted(metadata.items())]
    print_lines([*table_lines(columns, paint, ("name", "format"), width=text_width()), ""])
    size = size_of(path.stat().st_size)
    print_lines([f"{_totals([entry.shape for entry in entries])}, {size}", *about])


def _by_module(graph: Graph, source: str, place: str, has_rules: bool) -> conversion.Conversion:
    if has_rules:
        raise click.UsageError("--rename and --ignore are for names alone: --module assigns by what layers read")
    module = module_of(place)
    load_state(module, source)
    return assigned(graph, module, place)


def _rule(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old:
        raise click.UsageError(f"--rename takes OLD=NEW, not {text!r}")
    return old, new


def _note(pair: conversion.Pair) -> str:
    parts = [
        "renamed" if pair.renamed else "",
        "same name" if pair.by_name and not pair.renamed else "",
        ""
        if pair.shape == pair.source_shape
        else f"{_how(pair)} from {format_shape(pair.source_shape) or 'one number'}",
    ]
    return ", ".join(part for part in parts if part)


def _how(pair: conversion.Pair) -> str:
    """Return how the array of the spec comes from that of the file, whose axes may be in another order."""
    return "transposed" if sorted(pair.shape) == sorted(pair.source_shape) else "reshaped"


def _totals(shapes: list[tuple[int, ...]]) -> str:
    count = len(shapes)
    return f"{count:,} tensor{'s' * (count != 1)}, {sum(map(math.prod, shapes)):,} numbers"


def _printable(text: str) -> str:
    """Return a text of a file in a form that is safe in a terminal."""
    return "".join(ch if ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in text)
