"""`cnnspec run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.cli.common import (
    colourful,
    format_option,
    packed,
    painter,
    params_option,
    print_json,
    print_lines,
    text_width,
)
from cnnspec.cli.common import (
    show as show_diagnostics,
)
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import execution_options, weights_option
from cnnspec.cli.run_show import MOST_SAMPLES, Show, class_bars, draw, show_option, shown_layers
from cnnspec.data.inputs import random_inputs
from cnnspec.data.named import NamedBatch, read
from cnnspec.errors import BackendError, InputError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.load import load_spec
from cnnspec.runtime.build import itemsize, prepare
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.training.prediction import probabilities
from cnnspec.view.fitting import Narrow
from cnnspec.view.plan import plan_lines, plan_to_dict
from cnnspec.view.table import percent, table_lines
from cnnspec.wording import cells, format_shape


@click.command("run")
@click.argument("spec", shell_complete=complete_spec)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--input", "more_files", multiple=True, metavar="FILE", help="npy, npz, PNG, JPEG, IDX (gzip or not), -.")
@click.option("--batch", type=click.IntRange(1), help="Samples to run: of the files, or random ones (1).")
@click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the outputs as .npy; several as .npz."
)
@click.option("--trace", type=click.Path(path_type=Path, file_okay=False), help="Write every activation as .npy here.")
@click.option("--profile", is_flag=True, help="Show the time of each layer.")
@click.option("--plan", is_flag=True, help="Show the backend's plan of the batch in place of the outputs.")
@packed(
    "show",
    show_option,
    click.option("--show", "shows", is_flag=True, help="Draw the input, feature maps of layers, and the classes."),
    click.option("--layers", multiple=True, metavar="NAMES", help="Layers that --show draws: conv1,stage2 or *.conv1."),
    click.option("--maps", type=click.IntRange(1), help="Feature maps of a layer that --show draws.  [default: 8]"),
)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Number of classes to show.")
@weights_option
@execution_options
@params_option
@format_option
def command(
    spec: str,
    files: tuple[str, ...],
    more_files: tuple[str, ...],
    batch: int | None,
    resize: bool,
    output: Path | None,
    trace: Path | None,
    profile: bool,
    plan: bool,
    show: Show | None,
    top: int,
    weights: str | None,
    execution: Execution,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Run the network of SPEC on FILEs (or on seeded random numbers), and show the outputs and each layer.

    The outputs are computed as the options of the backend say, and shapes and times by a second run, layer by layer.

    Files of a network with several inputs are given by name, as left=one.png right=two.npy, or as one .npz file with an
    array for each.

    --plan shows the steps by which the backend computes a batch of that size outside of this command, with the method,
    the memory and the time of each.

    --show draws in the terminal the input, the last layer of each size of feature maps (or those of --layers), and the
    classes: in colours, or in shades where there are none.
    """
    if plan and (output or trace or profile):
        raise click.UsageError("--plan runs no layer by itself: leave out --output, --trace and --profile")
    if show and (plan or output_format == "json"):
        raise click.UsageError("--show draws for people: leave out --plan and --format json")
    loaded = load_spec(spec, params, resize)
    show_diagnostics(loaded.warnings, sys.stderr)
    drawn = [node.name for node in shown_layers(loaded.graph, show.layers)] if show else []
    names = (*more_files, *files)
    data = _inputs(loaded, names, batch, execution)
    model = prepare(loaded, execution, weights)
    if plan:
        _print_plan(loaded, model, data.n, execution, output_format)
        return
    y = model.predict(data.x)
    recorder = LayerRecorder(loaded.graph, trace, drawn)
    model.run_with_hook(data.x, recorder.record)
    outputs: Arrays = y if isinstance(y, dict) else {loaded.graph.output_names[0]: y}
    if output:
        _write(output, *outputs.values(), names=outputs)
    for array in outputs.values():
        _check_finite(array, execution.dtype)
    if output_format == "json":
        print_json(_as_json(loaded, data.sources, outputs, recorder, top, execution, weights))
    else:
        seed = execution.seed
        origin = f"weights {weights}" if weights else f"weights drawn at random from seed {seed}, not trained"
        samples = f"{data.n} sample{'s' * (data.n != 1)}"
        if not names:
            samples += f" of random numbers from seed {seed} (give files to run on your own)"
        print_lines([f"{painter(sys.stdout)(loaded.name, 'bold')}: {samples}", f"{execution}; {origin}", ""])
        if show is None or profile:
            _print_layers(loaded.graph, recorder, profile)
        if show is not None:
            draw(loaded, data.sources, data.x, recorder.kept, show)
        for name, array in outputs.items():
            if len(outputs) > 1:
                click.echo(f"{painter(sys.stdout)(name, 'bold')}:", color=colourful(sys.stdout))
            _print_output(loaded, name, data.sources, array, top, bars=show is not None)
    if recorder.wrong:
        raise click.ClickException(
            f"the shapes of the {execution.backend} backend differ from the predicted ones: "
            f"{', '.join(recorder.wrong)}; please report this"
        )


def _inputs(spec: Spec, names: tuple[str, ...], batch: int | None, execution: Execution) -> NamedBatch:
    """Return the samples of the files, or random ones; raise MemoryLimitError where they would take too much."""
    width = itemsize(execution)
    if not names:
        check_memory(spec.graph, batch or 1, width, execution.memory_limit)
        n = batch or 1
        x = random_inputs(spec.graph, n, execution.seed)
        return NamedBatch(x, tuple(f"random[{i}]" for i in range(n)))
    data = read(names, spec.inputs, limit=batch)
    check_memory(spec.graph, data.n, width, execution.memory_limit)
    return data


def _print_plan(spec: Spec, model: Model, batch: int, execution: Execution, output_format: str) -> None:
    try:
        steps = model.plan(batch)
    except BackendError as error:
        raise BackendError(f"{execution.backend} has no plan to show: {error}") from error
    if output_format == "json":
        about = {"spec": spec.name, "backend": execution.backend, "device": execution.device, "dtype": execution.dtype}
        print_json(about | {"options": dict(execution.options)} | plan_to_dict(steps, batch))
        return
    paint = painter(sys.stdout)
    samples = f"{batch:,} sample{'s' * (batch != 1)}"
    print_lines([f"{paint(spec.name, 'bold')}: plan for {samples}; {execution}", ""])
    print_lines(plan_lines(steps, batch, text_width(), paint))


def _check_finite(y: Array, dtype: str) -> None:
    if not np.isfinite(y).all():
        bad = int(np.count_nonzero(~np.isfinite(y)))
        remedy = "" if dtype == "float64" else "; `--dtype float64` has a larger range"
        raise InputError(
            f"{bad:,} of {y.size:,} outputs are NaN or infinite: numbers exceed the range of {dtype}{remedy}"
        )


class LayerRecorder:
    """Records the actual shape and the time of each layer as the network runs, and writes its values to a folder."""

    def __init__(self, graph: Graph, folder: Path | None, keep: Collection[str] = ()) -> None:
        self.graph = graph
        self.folder = folder
        self.keep = keep
        self.kept: dict[str, Array] = {}
        """The values of the layers of `keep`, of the samples that are drawn."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def record(self, name: str, value: Array) -> None:
        """Record a layer; the hook of `Model.run_with_hook`."""
        now = time.perf_counter()
        self.shapes[name] = value.shape[1:]
        self.seconds[name] = now - self.last
        if name in self.keep:
            self.kept[name] = value[:MOST_SAMPLES].copy()
        if self.folder:
            _write(self.folder / f"{name}.npy", value)
        self.last = time.perf_counter()

    @property
    def wrong(self) -> list[str]:
        """The layers whose shape is not the predicted one."""
        return [n.name for n in self.graph.nodes if self.shapes.get(n.name) != n.shape]


def _write(path: Path, *values: Array, names: Iterable[str] = ()) -> None:
    """Write an array as .npy, or several by name as .npz."""
    with path.open("wb") as file:
        if len(values) == 1:
            np.save(file, values[0])
        else:
            np.savez(file, **dict(zip(names, values, strict=True)))  # type: ignore[arg-type]  # none is `allow_pickle`


def _top(spec: Spec, name: str, y: Array, top: int) -> tuple[list[list[dict[str, Any]]], str]:
    found_probabilities, how = probabilities(spec.graph.output_nodes[name], y)
    classes = spec.classes_of.get(name, ())
    found = []
    for row, probability in zip(y, found_probabilities, strict=True):
        order = np.argsort(-probability, kind="stable")[:top]
        found.append(
            [
                {
                    "index": int(i),
                    "class": classes[i] if classes else str(i),
                    "probability": float(probability[i]),
                    "output": float(row[i]),
                }
                for i in order
            ]
        )
    return found, how


def _classifies(y: Array) -> bool:
    return y.ndim == 2 and y.shape[1] > 1


def _print_layers(graph: Graph, recorder: LayerRecorder, profile: bool) -> None:
    columns = {
        "name": [node.name for node in graph.nodes],
        "predicted": [format_shape(node.shape) for node in graph.nodes],
        "actual": [format_shape(recorder.shapes[node.name]) for node in graph.nodes],
    }
    if profile:
        total = sum(recorder.seconds.values()) or 1.0
        columns["ms"] = [f"{recorder.seconds[node.name] * 1e3:.3f}" for node in graph.nodes]
        columns["time"] = [percent(recorder.seconds[node.name] / total) for node in graph.nodes]
    narrow = Narrow(drop=("predicted", "ms"))
    print_lines([*table_lines(columns, painter(sys.stdout), width=text_width(), narrow=narrow), ""])


def _print_output(spec: Spec, name: str, sources: tuple[str, ...], y: Array, top: int, *, bars: bool) -> None:
    if _classifies(y):
        found, how = _top(spec, name, y, top)
        width = max(map(cells, sources))
        click.echo(f"classes by {how}:")
        for source, row in zip(sources, found, strict=True):
            if bars:
                print_lines(class_bars(source, row))
                continue
            named = ", ".join(f"{entry['class']} ({percent(entry['probability'])})" for entry in row)
            print_lines([f"  {source}{' ' * (width - cells(source))}  {named}"])
    elif y.size <= 400:
        for source, value in zip(sources, y, strict=True):
            shown = np.array2string(value, text_width() or 75, precision=4, suppress_small=True)
            click.echo(f"{source}:\n{shown}")
    else:
        extremes = f"mean {y.mean():.4g}, minimum {y.min():.4g}, maximum {y.max():.4g}"
        print_lines([f"outputs {format_shape(y.shape[1:])}: {extremes}"])


def _as_json(
    spec: Spec,
    sources: tuple[str, ...],
    outputs: Arrays,
    recorder: LayerRecorder,
    top: int,
    execution: Execution,
    weights: str | None,
) -> dict[str, Any]:
    classes = {name: _top(spec, name, y, top)[0] for name, y in outputs.items() if _classifies(y)}

    def sample(i: int) -> dict[str, Any]:
        of_each = {
            name: {
                "top": classes[name][i] if name in classes else None,
                "output": y[i].tolist() if y[i].size <= 10_000 else None,
            }
            for name, y in outputs.items()
        }
        return next(iter(of_each.values())) if len(of_each) == 1 else {"outputs": of_each}

    return {
        "spec": spec.name,
        "backend": execution.backend,
        "device": execution.device,
        "dtype": execution.dtype,
        "weights": weights,
        "seed": execution.seed,
        "layers": [
            {
                "name": node.name,
                "predicted": list(node.shape),
                "actual": list(recorder.shapes[node.name]),
                "seconds": recorder.seconds[node.name],
            }
            for node in spec.graph.nodes
        ],
        "samples": [{"source": source} | sample(i) for i, source in enumerate(sources)],
    }
