"""`cnnspec verify`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec.cli.common import (
    ShapeType,
    format_option,
    packed,
    painter,
    params_option,
    print_json,
    print_lines,
    text_width,
)
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import (
    device_option,
    expect_taker,
    memory_option,
    numerics_option,
    option_values,
    seed_option,
    threads_option,
)
from cnnspec.language.load import graph_of, load
from cnnspec.layers import Shape
from cnnspec.runtime.options import Execution
from cnnspec.testing.verification import TOLERANCE, Comparison, LayerDifference, verify_graph
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import table_lines
from cnnspec.wording import format_shape

_NARROW = Narrow(drop=("predicted", "actual", "in training"))


def _execution(
    device: str, seed: int, memory_limit: int | None, threads: int | None, numerics: str | None
) -> Execution:
    options = option_values((), threads=threads, numerics=numerics)
    return Execution(device=device, seed=seed, memory_limit=memory_limit, options=options)


@click.command("verify")
@click.argument("spec", shell_complete=complete_spec)
@click.option("--backend", "backends", multiple=True, help="Compare only this backend; may be repeated.")
@click.option("--dtype", "dtypes", multiple=True, help="Data type to compare in; may be repeated. [float64, float32]")
@click.option("--tolerance", type=click.FloatRange(0), help="Largest relative difference. [1e-9 float64, 1e-4 float32]")
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Samples in the batch.")
@packed("execution", _execution, device_option, seed_option, memory_option, threads_option, numerics_option)
@params_option
@format_option
def command(
    spec: str,
    backends: tuple[str, ...],
    dtypes: tuple[str, ...],
    tolerance: float | None,
    input_shape: Shape | None,
    batch: int,
    execution: Execution,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Compare the backends on SPEC layer by layer, forward and backward, with the same weights and inputs.

    Outputs are also compared as `predict` computes them. --threads, --numerics and --device reach the backends that
    have them; others run on the CPU. Exit with status 1 where two backends differ by more than the tolerance, relative
    to the largest number of the layer.
    """
    expect_taker(execution.options, backends)
    graph = graph_of(load(spec, params=params, input_shape=input_shape))
    found = verify_graph(graph, backends, dtypes or tuple(TOLERANCE), execution, batch, tolerance)
    mismatches = [comparison for comparison in found if comparison.first_mismatch is not None]
    if output_format == "json":
        print_json({"spec": graph.name, "agrees": not mismatches, "comparisons": [c.to_dict() for c in found]})
    else:
        _print(graph.name, found)
    sys.exit(1 if mismatches else 0)


def _print(spec: str, found: list[Comparison]) -> None:
    others = {comparison.dtype for comparison in found if comparison.backend != comparison.reference}
    for comparison in found:
        alone = comparison.dtype not in others
        if comparison.backend == comparison.reference and not alone:
            continue
        against = ", whose shapes are compared with the predicted ones" if alone else f" against {comparison.reference}"
        layers = comparison.layers
        columns = {
            "name": [layer.name for layer in layers],
            "predicted": [format_shape(layer.shape) for layer in layers],
            "actual": [format_shape(layer.actual) for layer in layers],
            "value": [_small(layer.value) for layer in layers],
            "gradient": [_small(layer.gradient) for layer in layers],
            "in training": [_small(layer.training) for layer in layers],
            "": [_remark(layer, comparison.tolerance) for layer in layers],
        }
        columns = {name: texts for name, texts in columns.items() if any(texts)}
        print_lines([f"{spec}: {comparison.backend}, {comparison.dtype}{against}", ""])
        print_lines(table_lines(columns, painter(sys.stdout), width=text_width(), narrow=_NARROW))
        worst = max(layer.worst() for layer in layers)
        if not comparison.nonsmooth:
            worst = max(worst, comparison.input_gradient)
        verdict = "agree" if comparison.first_mismatch is None else f"first mismatch at `{comparison.first_mismatch}`"
        loss = f", loss in training {_small(comparison.loss)}" if comparison.loss is not None else ""
        text = (
            f"\n{verdict}: largest difference {_small(worst)} relative, tolerance {comparison.tolerance:g}; "
            f"gradient of the input {_small(comparison.input_gradient)}{loss}"
        )
        print_lines([text])
        if comparison.nonsmooth:
            text = (
                f"rounding puts a number across a jump of the derivative of {', '.join(comparison.nonsmooth)}: "
                "the gradients before it are shown, and not compared (another --seed, or float64, compares them)"
            )
            print_lines([text])
        click.echo()


def _remark(layer: LayerDifference, tolerance: float) -> str:
    if not layer.worst() <= tolerance:
        return "mismatch"
    return "not compared" if layer.gradient is not None and not layer.compared else ""


def _small(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"
