"""`cnnspec run`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from cnnspec.arrays import Array
from cnnspec.cli.common import (
    format_option,
    model_options,
    painter,
    print_json,
    print_lines,
    settings,
    show,
)
from cnnspec.data import inputs
from cnnspec.errors import InputError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.load import load
from cnnspec.runtime.build import build, engine_for
from cnnspec.runtime.memory import check_memory
from cnnspec.view.table import percent, table_lines
from cnnspec.wording import format_shape


@click.command("run")
@click.argument("spec")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--input", "more_files", multiple=True, metavar="FILE", help="npy, npz, PNG, JPEG, IDX (gzip or not), -.")
@click.option("--batch", type=click.IntRange(1), help="Samples to run: of the files, or drawn at random (1).")
@click.option("--resize", is_flag=True, help="Fit pictures of another size or colour to the network.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the outputs as .npy.")
@click.option("--trace", type=click.Path(path_type=Path, file_okay=False), help="Write every activation as .npy here.")
@click.option("--profile", is_flag=True, help="Show the time that each layer takes.")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="How many classes to show.")
@model_options
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
    top: int,
    backend: str,
    device: str,
    dtype: str,
    weights: str | None,
    seed: int,
    memory_limit: int | None,
    sets: tuple[str, ...],
    form: str,
) -> None:
    """Run the network of SPEC on FILEs (or on seeded random numbers), layer by layer, and show what comes out."""
    loaded = load(spec, params=settings(sets))
    if resize:
        loaded = loaded.resizing()
    graph = loaded.graph
    show(loaded.warnings, sys.stderr)
    names = (*more_files, *files)
    count = batch or 1
    itemsize = engine_for(backend, dtype).dtypes()[dtype]
    if not names:
        check_memory(graph, count, itemsize, memory_limit)
    data = inputs.read(names, loaded.input, limit=batch) if names else inputs.random(graph.input.shape, count, seed)
    check_memory(graph, len(data.x), itemsize, memory_limit)
    model = build(graph, backend, weights, seed, device, dtype, memory_limit)
    if profile:
        model.predict(data.x)  # what only a first run does is not the layers' time
    watcher = _Watcher(graph, trace)
    y = model.run_with_hook(data.x, watcher.see)
    if output:
        _write(output, y)
    if not np.isfinite(y).all():
        bad = int(np.count_nonzero(~np.isfinite(y)))
        remedy = "" if dtype == "float64" else "; `--dtype float64` reaches further"
        raise InputError(f"{bad:,} of {y.size:,} outputs are NaN or infinite: numbers outgrew {dtype}{remedy}")
    origin = f"weights {weights}" if weights else f"weights drawn at random from seed {seed}, not trained"
    if form == "json":
        about = {"backend": backend, "device": device, "dtype": dtype, "weights": weights, "seed": seed}
        print_json(_as_json(loaded, data.sources, y, watcher, top, about))
    else:
        _print(loaded, data, y, watcher, top, profile, f"{backend} on {device}, {dtype}; {origin}", bool(names), seed)
    if watcher.wrong:
        raise click.ClickException(
            f"the {backend} backend made other shapes than predicted: {', '.join(watcher.wrong)}; please report this"
        )


class _Watcher:
    """Notes each layer's actual shape and time as the network runs, and writes its numbers where asked."""

    def __init__(self, graph: Graph, folder: Path | None) -> None:
        self.graph = graph
        self.folder = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def see(self, name: str, value: Array) -> None:
        now = time.perf_counter()
        self.shapes[name] = value.shape[1:]
        self.seconds[name] = now - self.last
        if self.folder:
            _write(self.folder / f"{name}.npy", value)
        self.last = time.perf_counter()

    @property
    def wrong(self) -> list[str]:
        return [n.name for n in self.graph.nodes if self.shapes.get(n.name) != n.shape]


def _write(path: Path, value: Array) -> None:
    with path.open("wb") as file:
        np.save(file, value)


def _shares(graph: Graph, y: Array) -> tuple[Array, str]:
    """The outputs as shares of the classes [n, f], and how they were had."""
    y = y.astype(np.float64)
    last = graph.output.kind
    if last == "softmax":
        return y, "softmax"
    if last == "log_softmax":
        return np.exp(y), "log_softmax"
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True), "softmax of the outputs"


def _top(spec: Spec, y: Array, top: int) -> tuple[list[list[dict[str, Any]]], str]:
    shares, how = _shares(spec.graph, y)
    found = []
    for row, share in zip(y, shares, strict=True):
        order = np.argsort(-share, kind="stable")[:top]
        found.append(
            [
                {
                    "index": int(i),
                    "class": spec.classes[i] if spec.classes else str(i),
                    "share": float(share[i]),
                    "output": float(row[i]),
                }
                for i in order
            ]
        )
    return found, how


def _print(
    spec: Spec,
    data: inputs.Batch,
    y: Array,
    watcher: _Watcher,
    top: int,
    profile: bool,
    origin: str,
    given: bool,
    seed: int,
) -> None:
    paint = painter(sys.stdout)
    n = len(data.x)
    what = f"{n} sample{'s' * (n != 1)}"
    if not given:
        what += f" of random numbers from seed {seed} (give files to run on your own)"
    columns = {
        "name": [node.name for node in spec.graph.nodes],
        "predicted": [format_shape(node.shape) for node in spec.graph.nodes],
        "actual": [format_shape(watcher.shapes[node.name]) for node in spec.graph.nodes],
    }
    if profile:
        total = sum(watcher.seconds.values()) or 1.0
        columns["ms"] = [f"{watcher.seconds[node.name] * 1e3:.3f}" for node in spec.graph.nodes]
        columns["share"] = [percent(watcher.seconds[node.name] / total) for node in spec.graph.nodes]
    print_lines([f"{paint(spec.name, 'bold')}: {what}", origin, "", *table_lines(columns, paint), ""])
    if y.ndim == 2 and y.shape[1] > 1:
        found, how = _top(spec, y, top)
        width = max(map(len, data.sources))
        click.echo(f"classes by {how}:")
        for source, row in zip(data.sources, found, strict=True):
            named = ", ".join(f"{entry['class']} ({percent(entry['share'])})" for entry in row)
            click.echo(f"  {source:<{width}}  {named}")
    elif y.size <= 400:
        for source, value in zip(data.sources, y, strict=True):
            click.echo(f"{source}:\n{np.array2string(value, precision=4, suppress_small=True)}")
    else:
        click.echo(
            f"outputs {format_shape(y.shape[1:])}: mean {y.mean():.4g}, least {y.min():.4g}, largest {y.max():.4g}"
        )


def _as_json(
    spec: Spec, sources: tuple[str, ...], y: Array, watcher: _Watcher, top: int, about: dict[str, Any]
) -> dict[str, Any]:
    classes = _top(spec, y, top)[0] if y.ndim == 2 and y.shape[1] > 1 else None
    return {
        "spec": spec.name,
        **about,
        "layers": [
            {
                "name": node.name,
                "predicted": list(node.shape),
                "actual": list(watcher.shapes[node.name]),
                "seconds": watcher.seconds[node.name],
            }
            for node in spec.graph.nodes
        ],
        "samples": [
            {
                "source": source,
                "top": classes[i] if classes else None,
                "output": y[i].tolist() if y[i].size <= 10_000 else None,
            }
            for i, source in enumerate(sources)
        ],
    }
