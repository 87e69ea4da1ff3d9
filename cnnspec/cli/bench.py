"""`cnnspec bench`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from cnnspec.bench.options import AGAINST, BenchError, Mode, Options, Peer, usable_cpus
from cnnspec.bench.run import bench
from cnnspec.bench.text import bench_lines, left_out_lines
from cnnspec.cli.common import (
    ShapeType,
    error_line,
    format_option,
    packed,
    painter,
    params_option,
    print_json,
    print_lines,
    show,
    text_width,
)
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import (
    autotune_option,
    memory_option,
    numerics_option,
    option_values,
    seed_option,
    set_once,
    weights_option,
)
from cnnspec.language.load import load
from cnnspec.layers import Shape
from cnnspec.runtime.backend import Backend, installed
from cnnspec.runtime.options import Execution
from cnnspec.wording import names, nearest


class ListType(click.ParamType):  # type: ignore[type-arg]
    """Values with commas between them; an option of this type may also be repeated."""

    def __init__(self, name: str, convert: type[int] | type[str]) -> None:
        self.name = name
        self.of = convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Return the values."""
        parts = [part.strip() for part in str(value).split(",")]
        if self.of is str:
            return tuple(part for part in parts if part)
        if not all(part.isdecimal() and 0 < int(part) < 2**31 for part in parts):
            self.fail(f"{value!r} is not a list of numbers above 0, such as 1,64", param, ctx)
        return tuple(int(part) for part in parts)


def _options(
    batches: tuple[tuple[int, ...], ...],
    training: bool,
    threads: int | None,
    rounds: int,
    seconds: float,
    dtype: str,
    seed: int,
    memory_limit: int | None,
    tolerance: float | None,
    plans: bool,
) -> Options:
    modes: tuple[Mode, ...] = ("forward", "step") if training else ("forward",)
    sizes = tuple(dict.fromkeys(_flat(batches))) or Options.batches
    return Options(sizes, modes, threads or usable_cpus(), rounds, seconds, dtype, seed, memory_limit, tolerance, plans)


@click.command("bench")
@click.argument("spec", shell_complete=complete_spec)
@click.option("--backend", "backends", multiple=True, type=ListType("NAME,…", str), help="Backends; all by default.")
@click.option("--against", multiple=True, type=ListType("PEER,…", str), help=f"Other peers: {', '.join(AGAINST)}.")
@packed(
    "options",
    _options,
    click.option("--batch", "batches", multiple=True, type=ListType("N,…", int), help="Batch sizes. [1]"),
    click.option("--training", is_flag=True, help="Measure the training step, too."),
    click.option("--threads", type=click.IntRange(1), help="Threads of each peer; by default one for each usable CPU."),
    click.option("--rounds", type=click.IntRange(1), default=Options.rounds, show_default=True, help="Rounds."),
    click.option(
        "--seconds",
        type=click.FloatRange(0, min_open=True),
        default=Options.seconds,
        show_default=True,
        help="Time of each peer in a round.",
    ),
    click.option("--dtype", default=Execution.dtype, show_default=True, help="Data type to compute in."),
    seed_option,
    memory_option,
    click.option(
        "--tolerance",
        type=click.FloatRange(0),
        help="Largest relative difference of two peers' outputs. [1e-9 float64, 1e-4 float32, 0.05 others]",
    ),
    click.option("--plan", "plans", is_flag=True, help="List the plans of the peers, too (see `cnnspec run --plan`)."),
)
@numerics_option
@autotune_option
@click.option(
    "--option",
    "backend_options",
    multiple=True,
    metavar="[BACKEND.]NAME=VALUE",
    help="An option of one backend, or of all that have it: numpy.numerics=strict, compile=true.",
)
@click.option("--input", "input_shape", type=ShapeType(), metavar="CxHxW", help="Input shape in place of the spec's.")
@weights_option
@params_option
@format_option
def command(
    spec: str,
    backends: tuple[tuple[str, ...], ...],
    against: tuple[tuple[str, ...], ...],
    options: Options,
    numerics: str | None,
    autotune: bool | None,
    backend_options: tuple[str, ...],
    input_shape: Shape | None,
    weights: str | None,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Measure SPEC on the backends, and beside PyTorch and ONNX Runtime, with random inputs.

    Each peer has a process of its own, one of which runs at a time, in rounds that take turns. Before anything is
    timed, the outputs are compared; a peer that differs is an error. Exit with status 1 where a peer fails.

    torch-eager is the network as plain torch.nn modules, torch-compile the same with torch.compile, onnxruntime an
    ONNX model. A ratio is the time by that of the first of them, or of the first backend: below 1 is faster. GFLOP/s
    count 2 for each multiply-accumulate, and three forward passes for a training step.
    """
    peers = [
        *_backends(_flat(backends), option_values(backend_options, numerics=numerics, autotune=autotune)),
        *map(Peer.against, dict.fromkeys(_flat(against))),
    ]
    loaded = load(spec, params=params, input_shape=input_shape)
    show(loaded.warnings, sys.stderr)
    progress = _Progress()
    try:
        result = bench(loaded, peers, options, weights, progress.show)
    finally:
        progress.clear()
    if output_format == "json":
        print_json(result.to_dict())
    else:
        print_lines(bench_lines(result, text_width(), painter(sys.stdout)))
        for what, entries in (("no plan", result.without_plan), ("left out", result.left_out)):
            if entries:
                print_lines(["", *(f"{what}: {line}" for line in left_out_lines(entries))])
    for line in left_out_lines(result.failures):
        error_line(line)
    sys.exit(1 if result.failures else 0)


def _flat(groups: tuple[tuple[Any, ...], ...]) -> list[Any]:
    return [value for group in groups for value in group]


def _backends(wanted: list[str], options: Mapping[str, Any]) -> list[Peer]:
    """Return the backends of those names (all by default), each with the options that it has."""
    found = installed()
    for name in wanted:
        if name not in found:
            near = nearest(name, found)
            hint = f"; did you mean `{near}`?" if near else f": there are {', '.join(found)}"
            raise BenchError(f"there is no backend `{name}`{hint}")
    chosen = {name: found[name] for name in wanted or found}
    given: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for text, value in options.items():
        backend, dot, option = text.rpartition(".")
        takers = [backend] if dot else [name for name, about in chosen.items() if option in _options_of(about)]
        if not takers:
            raise BenchError(f"none of {names(list(chosen))} has an option `{option}`")
        for name in takers:
            if name not in given:
                raise BenchError(f"--option {text}: `{name}` is not among the backends {names(list(chosen))}")
            set_once(given[name], option, value)
    return [Peer(name, name, given[name]) for name in chosen]


def _options_of(backend: Backend | str) -> tuple[str, ...]:
    return () if isinstance(backend, str) else backend.options


class _Progress:
    """What is being done, on one line of a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.shown:
            click.echo(f"\r\x1b[K{text} …", nl=False, err=True)

    def clear(self) -> None:
        """Clear the line."""
        if self.shown:
            click.echo("\r\x1b[K", nl=False, err=True)
