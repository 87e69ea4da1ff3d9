"""`cnnspec verify`."""

from __future__ import annotations

import sys
from typing import Any

import click

from cnnspec import api
from cnnspec.backend import available
from cnnspec.cli.common import BytesType, ShapeType, console, format_option, print_json, set_option, settings
from cnnspec.layers import Shape
from cnnspec.layers.base import by
from cnnspec.verification import Comparison, verify


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
    graph = api.load(spec, params=settings(sets), input_shape=input_shape)
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
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    out: Any = console()
    shown = [comparison for comparison in found if comparison.backend != names[0]] or found
    if len(names) == 1:
        click.echo(f"{spec}: {names[0]} is the only backend here; its shapes are held to the predicted ones\n")
    for comparison in shown:
        against = f" against {names[0]}" if comparison.backend != names[0] else ""
        out.print(f"[bold]{spec}[/bold]: {comparison.backend}{against}, {comparison.dtype}\n", soft_wrap=True)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        table.add_column("name", style="bold", no_wrap=True)
        for column in ("predicted", "actual", "value", "gradient", "in training"):
            table.add_column(column, justify="right", no_wrap=True)
        for layer in comparison.layers:
            numbers = [_small(layer.value), _small(layer.gradient), _small(layer.training)]
            style = None if layer.worst() <= comparison.tolerance else "red"
            table.add_row(layer.name, by(layer.shape), by(layer.actual), *numbers, style=style)
        out.print(table)
        worst = max(layer.worst() for layer in comparison.layers)
        verdict = "agree" if comparison.first_apart is None else f"part company at `{comparison.first_apart}`"
        click.echo(
            f"\n{verdict}: largest difference {_small(max(worst, comparison.input_gradient))} relative, "
            f"tolerance {comparison.tolerance:g}; gradient of the input {_small(comparison.input_gradient)}"
            + (f", loss in training {_small(comparison.loss)}" if comparison.loss is not None else "")
            + "\n"
        )


def _small(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"
