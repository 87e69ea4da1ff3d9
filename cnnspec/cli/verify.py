"""`cnnspec verify`."""

from __future__ import annotations

import sys

import click

from cnnspec.cli.common import (
    BytesType,
    ShapeType,
    format_option,
    painter,
    print_json,
    print_lines,
    set_option,
    settings,
)  # fmt: skip
from cnnspec.language.load import load
from cnnspec.layers import Shape
from cnnspec.runtime.backend import available
from cnnspec.testing.verification import Comparison, LayerDifference, verify
from cnnspec.view.table import table_lines
from cnnspec.wording import format_shape


@click.command("verify")
@click.argument("spec")
@click.option("--backend", "backends", multiple=True, help="Only this backend (several times: these).")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(["float64", "float32"]), help="Only this format.")
@click.option("--device", default="cpu", show_default=True, help="Where the backends compute.")
@click.option("--input", "input_shape", type=ShapeType(), help="Another input shape than the spec's.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Samples.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and numbers.")
@click.option("--memory-limit", type=BytesType(), help="Refuse what takes more; 2GiB by default.")
@set_option
@format_option
def command(
    spec: str,
    backends: tuple[str, ...],
    dtypes: tuple[str, ...],
    device: str,
    input_shape: Shape | None,
    batch: int,
    seed: int,
    memory_limit: int | None,
    sets: tuple[str, ...],
    form: str,
) -> None:
    """Hold the backends against each other on SPEC: same weights, same numbers, forward and backward, layer by layer.

    Exits with 1 when two backends differ by more than 1e-9 (float64) or 1e-4 (float32), relative to the largest
    number of the layer.
    """
    graph = load(spec, params=settings(sets), input_shape=input_shape)
    names = list(backends or available())
    found = verify(
        graph,
        names,
        dtypes=dtypes or ("float64", "float32"),
        batch=batch,
        seed=seed,
        device=device,
        memory_limit=memory_limit,
    )
    apart = [comparison for comparison in found if comparison.first_apart is not None]
    if form == "json":
        print_json({"spec": graph.name, "agrees": not apart, "comparisons": [c.to_dict() for c in found]})
    else:
        _print(graph.name, names, found)
    sys.exit(1 if apart else 0)


def _print(spec: str, names: list[str], found: list[Comparison]) -> None:
    if len(names) == 1:
        click.echo(f"{spec}: {names[0]} is the only backend here; its shapes are held to the predicted ones\n")
    for comparison in [comparison for comparison in found if comparison.backend != names[0]] or found:
        against = f" against {names[0]}" if comparison.backend != names[0] else ""
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
        columns = {name: cells for name, cells in columns.items() if any(cells)}
        click.echo(f"{spec}: {comparison.backend}{against}, {comparison.dtype}\n")
        print_lines(table_lines(columns, painter(sys.stdout)))
        worst = max(layer.worst() for layer in layers)
        if not comparison.kinks:
            worst = max(worst, comparison.input_gradient)
        verdict = "agree" if comparison.first_apart is None else f"part company at `{comparison.first_apart}`"
        loss = f", loss in training {_small(comparison.loss)}" if comparison.loss is not None else ""
        click.echo(
            f"\n{verdict}: largest difference {_small(worst)} relative, tolerance {comparison.tolerance:g}; "
            f"gradient of the input {_small(comparison.input_gradient)}{loss}"
        )
        if comparison.kinks:
            click.echo(
                f"rounding puts a number on either side of the kink of {', '.join(comparison.kinks)}: "
                "the gradients before it are shown, and not judged (another --seed, or float64, judges them)"
            )
        click.echo()


def _remark(layer: LayerDifference, tolerance: float) -> str:
    if not layer.worst() <= tolerance:
        return "apart"
    return "not judged" if layer.gradient is not None and not layer.judged else ""


def _small(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"
