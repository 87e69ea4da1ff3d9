"""`cnnspec import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cnnspec import atomic
from cnnspec.cli.common import ShapeType, error_line, format_option, painter, print_json, print_lines
from cnnspec.cli.execution import memory_option
from cnnspec.graph.costs import macs, trainable
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.interop.importer.finish import identifier
from cnnspec.interop.onnx_import.load import import_onnx
from cnnspec.interop.onnx_import.read import inputs_of, read
from cnnspec.interop.torch_import.factory import is_reference, load_state, module_of, parsed
from cnnspec.interop.torch_import.load import from_torch, in_order
from cnnspec.sizes import size_of
from cnnspec.weights import files


@click.command("import")
@click.argument("model")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Spec to write. [MODEL.yaml]")
@click.option("--name", help="Name of the network; by default that of the file or of the factory.")
@click.option("--input", "shapes", multiple=True, metavar="[NAME=]CxHxW", help="Shape of a sample of an input.")
@click.option("--unbatched", is_flag=True, help="The first axis is not the batch: the model computes one sample.")
@click.option("--weights", help="State_dict to load into the module first (.pth, .safetensors).")
@click.option("--names", type=click.Choice(["module", "kind"]), default="module", help="What layers are called after.")
@click.option("--partial", is_flag=True, help="Leave out operations without counterpart, and what depends on them.")
@click.option("--no-verify", is_flag=True, help="Do not compare the outputs with those of MODEL.")
@memory_option
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@format_option
@click.pass_context
def command(
    context: click.Context,
    model: str,
    output: Path | None,
    name: str | None,
    shapes: tuple[str, ...],
    unbatched: bool,
    weights: str | None,
    names: str,
    partial: bool,
    no_verify: bool,
    memory_limit: int | None,
    force: bool,
    output_format: str,
) -> None:
    """Write the network of MODEL as a spec, and its weights beside it as safetensors.

    MODEL is an ONNX file, or the place of a PyTorch module: `package.module:factory` or `file.py:factory`, with
    arguments as in `models:resnet('small', classes=10)`. The code there is run; `--input` gives the shape of a sample.

    Operations become layers, constants are computed, and the outputs are compared with those of MODEL on random
    inputs. Where an operation has no counterpart, all of them are listed, and nothing is written.
    """
    is_module = is_reference(model)
    given = {key for key in ("weights", "names") if _is_written(context, key)}
    _refuse(is_module, {f"--{key}" for key in given}, unbatched)
    target = output or _target(model, is_module)
    beside = target.with_suffix(files.SUFFIX)
    if taken := [str(path) for path in (target, beside) if path.exists() and not force]:
        raise click.UsageError(f"{' and '.join(taken)} exist{'s' * (len(taken) == 1)}: `--force` overwrites")
    if is_module:
        found = _from_module(model, shapes, weights, name, names == "module", partial, not no_verify, memory_limit)
    else:
        found = import_onnx(
            model,
            name=name,
            sizes=_shapes(shapes, Path(model)),
            batched=not unbatched,
            partial=partial,
            verify=not no_verify,
            memory_limit=memory_limit,
        )
    for operation in found.missing:
        error_line(f"left out: {operation}")
    files.write(beside, found.arrays, {"spec": found.spec.name, "source": model if is_module else Path(model).name})
    atomic.write(target, found.text.encode())
    if output_format == "json":
        print_json(_as_json(found, target, beside))
        return
    graph = found.spec.graph
    paint = painter(sys.stdout)
    lines = len(found.text.splitlines())
    print_lines(
        [
            f"{paint(found.spec.name, 'bold')}: {found.nodes:,} operations of {model} are {len(graph.nodes):,} layers, "
            f"{trainable(graph.nodes):,} parameters, {macs(graph.nodes):,} MACs",
            f"spec written to {target}, {lines:,} lines; weights to {beside}, {size_of(beside.stat().st_size)}",
            _verified(found, model),
        ]
    )


def _verified(found: ImportedNetwork, model: str) -> str:
    """Return what the comparison of the outputs showed."""
    if found.difference is None:
        return "not verified"
    text = f"verified: the outputs differ from those of {model} by {found.difference}"
    if not found.varies:
        text += ", but they are the same for all inputs, as those of untrained weights can be: this shows little"
    return text


def _is_written(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT


def _refuse(is_module: bool, given: set[str], unbatched: bool) -> None:
    """Raise UsageError where an option belongs to the other kind of model."""
    if is_module and unbatched:
        raise click.UsageError("--unbatched is for ONNX files: a PyTorch module takes batches")
    if not is_module and given:
        raise click.UsageError(f"{' and '.join(sorted(given))}: only with a PyTorch module, `package.module:factory`")


def _target(model: str, is_module: bool) -> Path:
    """Return the spec to write: beside a file, and in the working directory for a module."""
    if is_module:
        return Path(f"{identifier(parsed(model).name.lower(), 'model')}.yaml")
    return Path(model).with_suffix(".yaml")


def _from_module(
    model: str,
    texts: tuple[str, ...],
    weights: str | None,
    name: str | None,
    module_names: bool,
    partial: bool,
    verify: bool,
    memory_limit: int | None,
) -> ImportedNetwork:
    if not texts:
        raise click.UsageError("--input gives the shape of a sample, as in `--input 3x224x224`; one for each argument")
    parts = [text.rpartition("=") for text in texts]
    shapes = [(argument, ShapeType().convert(shape, None, None)) for argument, _, shape in parts]
    module = module_of(model)
    if weights:
        load_state(module, weights)
    return from_torch(
        module,
        in_order(module, shapes, model),
        name=name or identifier(parsed(model).name.lower(), "model"),
        module_names=module_names,
        partial=partial,
        verify=verify,
        source=model,
        memory_limit=memory_limit,
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
