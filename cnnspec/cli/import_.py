"""`cnnspec import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cnnspec import atomic
from cnnspec.cli.common import ShapeType, error_line, format_option, painter, print_json, print_lines
from cnnspec.graph.costs import macs, trainable
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.interop.onnx_import.load import import_onnx
from cnnspec.interop.onnx_import.read import inputs_of, read
from cnnspec.sizes import size_of
from cnnspec.weights import files


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Spec to write. [MODEL.yaml]")
@click.option("--name", help="Name of the network; by default that of the file.")
@click.option("--input", "shapes", multiple=True, metavar="[NAME=]CxHxW", help="Shape of a sample that is left open.")
@click.option("--unbatched", is_flag=True, help="The first axis is not the batch: the model computes one sample.")
@click.option("--partial", is_flag=True, help="Leave out operations without counterpart, and what depends on them.")
@click.option("--no-verify", is_flag=True, help="Do not compare the outputs with those of MODEL.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@format_option
def command(
    model: Path,
    output: Path | None,
    name: str | None,
    shapes: tuple[str, ...],
    unbatched: bool,
    partial: bool,
    no_verify: bool,
    force: bool,
    output_format: str,
) -> None:
    """Write the network of an ONNX MODEL as a spec, and its weights beside it as safetensors.

    Operations become layers, constants are computed, and the outputs are compared with those of MODEL on random
    inputs. Where an operation has no counterpart, all of them are listed, and nothing is written.
    """
    target = output or model.with_suffix(".yaml")
    weights = target.with_suffix(files.SUFFIX)
    if taken := [str(path) for path in (target, weights) if path.exists() and not force]:
        raise click.UsageError(f"{' and '.join(taken)} exist{'s' * (len(taken) == 1)}: `--force` overwrites")
    found = import_onnx(
        model, name=name, sizes=_shapes(shapes, model), batched=not unbatched, partial=partial, verify=not no_verify
    )
    for operation in found.missing:
        error_line(f"left out: {operation}")
    files.write(weights, found.arrays, {"spec": found.spec.name, "source": model.name})
    atomic.write(target, found.text.encode())
    if output_format == "json":
        print_json(_as_json(found, target, weights))
        return
    graph = found.spec.graph
    paint = painter(sys.stdout)
    lines = len(found.text.splitlines())
    print_lines(
        [
            f"{paint(found.spec.name, 'bold')}: {found.nodes:,} operations of {model} are {len(graph.nodes):,} layers, "
            f"{trainable(graph.nodes):,} parameters, {macs(graph.nodes):,} MACs",
            f"spec written to {target}, {lines:,} lines; weights to {weights}, {size_of(weights.stat().st_size)}",
            "not verified"
            if found.difference is None
            else f"verified: the outputs differ from those of {model.name} by {found.difference}",
        ]
    )


def _shapes(texts: tuple[str, ...], model: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes by name; without a name, that of the model's only input."""
    found = {}
    for text in texts:
        name, equals, shape = text.rpartition("=")
        if not equals:
            name = _only_input(model)
        found[name] = ShapeType().convert(shape, None, None)
    return found


def _only_input(model: Path) -> str:
    names = [str(info.name) for info in inputs_of(read(model))]
    if len(names) != 1:
        raise click.UsageError(
            f"{model} has the inputs {', '.join(names)}: name one, as in `--input {names[0]}=3x64x64`"
        )
    return names[0]


def _as_json(found: ImportedNetwork, target: Path, weights: Path) -> dict[str, Any]:
    graph = found.spec.graph
    return {
        "spec": found.spec.name,
        "files": [str(target), str(weights)],
        "operations": found.nodes,
        "layers": len(graph.nodes),
        "parameters": trainable(graph.nodes),
        "macs": macs(graph.nodes),
        "missing": [operation._asdict() for operation in found.missing],
        "verification": found.difference._asdict() if found.difference else None,
    }
