"""`cnnspec export`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from cnnspec.cli.common import (
    ShapeType,
    format_option,
    packed,
    painter,
    params_option,
    print_json,
    print_lines,
    show,
)
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import memory_option, seed_option, weights_option
from cnnspec.graph.spec import Spec
from cnnspec.interop.comparison import BATCHES, TOLERANCE
from cnnspec.interop.exported import Exported
from cnnspec.interop.onnx_export.export import DTYPES, QUANTIZED, OnnxOptions, write_onnx
from cnnspec.interop.source.keras_weights import write_keras
from cnnspec.interop.source.pytorch import write_source
from cnnspec.interop.torch_export import write_torch
from cnnspec.language.load import load
from cnnspec.layers import Shape
from cnnspec.runtime.options import Execution
from cnnspec.sizes import size_of
from cnnspec.wording import names, one_of

Given = Mapping[str, Any]
"""The options that are given on the command line, of those that not every target has."""


class Target(NamedTuple):
    """A format that a network is exported to."""

    about: str
    endings: tuple[str, ...]
    """Of the files that are in this format where --to does not name one."""
    options: tuple[str, ...]
    """The options that it takes, of those that not every target has."""
    write: Callable[[Spec, Path, Execution, str | None, Given], Exported]


def _onnx(spec: Spec, path: Path, execution: Execution, weights: str | None, given: Given) -> Exported:
    verify = not given.get("no_verify", False)
    options = {name: value for name, value in given.items() if name != "no_verify"}
    return write_onnx(spec, path, execution, weights, OnnxOptions(verify=verify, **options))


def _torch(format: str) -> Callable[[Spec, Path, Execution, str | None, Given], Exported]:
    def write(spec: Spec, path: Path, execution: Execution, weights: str | None, given: Given) -> Exported:
        return write_torch(spec, path, format, execution, weights, verify="no_verify" not in given)

    return write


def _source(spec: Spec, path: Path, execution: Execution, weights: str | None, given: Given) -> Exported:
    return write_source(spec, path, execution, weights, verify="no_verify" not in given)


def _keras(spec: Spec, path: Path, execution: Execution, weights: str | None, given: Given) -> Exported:
    return write_keras(spec, path, execution, weights, verify="no_verify" not in given)


TARGETS = {
    "onnx": Target(
        "ONNX model",
        (".onnx",),
        ("opset", "training", "preprocess", "dtype", "quantize", "no_verify"),
        _onnx,
    ),
    "torchscript": Target("TorchScript file", (".pt", ".ts", ".torchscript"), ("no_verify",), _torch("torchscript")),
    "pt2": Target("program of torch.export", (".pt2",), ("no_verify",), _torch("pt2")),
    "torch": Target("PyTorch source", (".py",), ("no_verify",), _source),
    "keras": Target("Keras source", (), ("no_verify",), _keras),
}
"""The formats by name."""


def _given(**values: Any) -> Given:
    return {name: value for name, value in values.items() if value not in (None, False)}


def _options(
    opset: int | None, training: bool, preprocess: bool, dtype: str | None, quantize: str | None, no_verify: bool
) -> Given:
    return _given(
        opset=opset, training=training, preprocess=preprocess, dtype=dtype, quantize=quantize, no_verify=no_verify
    )


@click.command("export")
@click.argument("spec", shell_complete=complete_spec)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.option("--to", "target", type=click.Choice(list(TARGETS)), help="Format; by default that of the file's ending.")
@weights_option
@packed(
    "given",
    _options,
    click.option("--opset", type=int, help="Version of ONNX's operators; by default the lowest that is needed."),
    click.option("--training", is_flag=True, help="Keep batch normalization and dropout as nodes of their own."),
    click.option("--preprocess", is_flag=True, help="Take pixels (0 to 255), and scale them in the model."),
    click.option("--dtype", type=click.Choice(DTYPES), help="Data type of the numbers in the model. [float32]"),
    click.option("--quantize", type=click.Choice(QUANTIZED), help="Quantize the weights of products to this."),
    click.option("--no-verify", is_flag=True, help="Do not check the file, and do not compare its outputs."),
)
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@packed(
    "execution", lambda seed, memory_limit: Execution(seed=seed, memory_limit=memory_limit), seed_option, memory_option
)
@params_option
@format_option
def command(
    spec: str,
    output: Path,
    target: str | None,
    weights: str | None,
    given: Given,
    input_shape: Shape | None,
    execution: Execution,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Write the network of SPEC as ONNX (.onnx), TorchScript (.pt, .ts), torch.export (.pt2) or PyTorch source (.py).

    `--to keras` writes Keras source. The file is run, and its outputs are compared with those of NumPy, before it
    replaces one that exists. The batch is free. Without --weights, they are drawn at random from the seed; source code
    has none then, and is not run. Those that are given are written beside it. PyTorch source is run if PyTorch is
    installed.
    """
    name = target or _by_ending(output)
    if unknown := [option for option in given if option not in TARGETS[name].options]:
        flags = names([f"--{option.replace('_', '-')}" for option in unknown])
        raise click.UsageError(f"{flags}: there is no such option for {name}")
    loaded = load(spec, params=params, input_shape=input_shape)
    show(loaded.warnings, sys.stderr)
    found = TARGETS[name].write(loaded, output, execution, weights, given)
    if output_format == "json":
        print_json(found.to_dict() | {"weights": weights, "seed": execution.seed})
        return
    origin = f"weights {weights}" if weights else f"weights drawn at random from seed {execution.seed}, not trained"
    if found.format in ("torch", "keras") and not weights:
        origin = "without weights"
    about = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found.details.items())
    written = f"{TARGETS[name].about} written to {' and '.join(map(str, found.files))}, {size_of(found.bytes)}"
    print_lines(
        [
            f"{painter(sys.stdout)(loaded.name, 'bold')}: {written}",
            f"{about}; {origin}",
            *_verification(found),
        ]
    )


def _by_ending(output: Path) -> str:
    for name, target in TARGETS.items():
        if output.suffix.lower() in target.endings:
            return name
    endings = one_of([ending for target in TARGETS.values() for ending in target.endings])
    raise click.UsageError(f"`{output.name}` does not end in {endings}: name the format, as in `--to onnx`")


def _verification(found: Exported) -> list[str]:
    if found.difference is None:
        return ["not verified"]
    batches = one_of([str(n) for n in BATCHES])
    in_float32 = "" if found.rounding is None else "in float32, "
    compared = f"verified: {in_float32}{found.engine} computes what NumPy does for a batch of {batches}"
    lines = [f"{compared}: it differs by {found.difference} ({TOLERANCE:g} relative is allowed)"]
    if found.refined is not None:
        how, own = found.refined
        lines = [
            f"{compared}, {how}: it differs by {own} ({TOLERANCE:g} relative is allowed)",
            f"these weights amplify rounding: in float32 the outputs differ by {found.difference}",
        ]
    if found.rounding is not None:
        lines.append(f"{found.precision}: its outputs differ by {found.rounding}")
    return lines
