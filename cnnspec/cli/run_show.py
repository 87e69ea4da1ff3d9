"""What `cnnspec run --show` draws: the input, the feature maps of some layers, and the most probable classes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from cnnspec.arrays import Array
from cnnspec.cli.common import console, painter, print_lines, text_width
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.selection import matching, proposal
from cnnspec.graph.spec import Spec
from cnnspec.view.fitting import clipped
from cnnspec.view.spark import bar
from cnnspec.view.table import percent
from cnnspec.wording import cells

MOST_LAYERS = 5
"""Layers that are shown where none is chosen."""
MOST_SAMPLES = 3
"""Samples that are shown."""
UNLIMITED = 80
"""Columns that pictures take in a pipe, which has no width."""


class Show(NamedTuple):
    """What is to be drawn: patterns of layers (those of `shown_layers` where there are none), and how many maps."""

    layers: tuple[str, ...] = ()
    maps: int = 8


def show_option(shows: bool, layers: tuple[str, ...], maps: int | None) -> Show | None:
    """Return what the options ask for; None where none of them is given."""
    patterns = tuple(part.strip() for text in layers for part in text.split(",") if part.strip())
    if not (shows or patterns or maps):
        return None
    return Show(patterns, maps or Show().maps)


def shown_layers(graph: Graph, patterns: Sequence[str]) -> list[Node]:
    """Return the layers that are drawn, in order; raise UsageError for a pattern that matches none.

    By default, they are the last layers of each size of maps, at most five, or of a network without maps all vectors.
    """
    layers = [node for node in graph.nodes if node.inputs]
    names = [node.name for node in layers]
    for pattern in patterns:
        if not matching(names, pattern):
            raise click.UsageError(f"--layers: no layer matches `{pattern}`: {proposal(pattern, names)}")
    if patterns:
        chosen = {name for pattern in patterns for name in matching(names, pattern)}
        return [node for node in layers if node.name in chosen]
    maps = [node for node in layers if len(node.shape) > 1 and max(node.shape[1:]) > 1]
    last = {node.shape[1:]: node for node in maps} or {node.shape: node for node in layers}
    order = {node.name: i for i, node in enumerate(graph.nodes)}
    found = sorted(last.values(), key=lambda node: order[node.name])
    step = (len(found) - 1) / max(1, MOST_LAYERS - 1)
    return found if len(found) <= MOST_LAYERS else [found[round(i * step)] for i in range(MOST_LAYERS)]


def draw(
    spec: Spec, sources: Sequence[str], inputs: Mapping[str, Array], values: Mapping[str, Array], show: Show
) -> None:
    """Draw the inputs and the layers of the first samples: {name: [n, ...]}."""
    from cnnspec.view.pictures import input_picture, layer_picture

    out, width = console(), text_width() or UNLIMITED
    for i, source in enumerate(sources[:MOST_SAMPLES]):
        if len(sources) > 1:
            print_lines([painter(sys.stdout)(clipped(source, width, start=True), "bold"), ""])
        pictures = [input_picture(name, inputs[name][i], one, width, show.maps) for name, one in spec.inputs.items()]
        pictures += [layer_picture(name, array[i], width, show.maps) for name, array in values.items()]
        with out.capture() as drawn:
            out.print(*pictures, sep="\n")
        lines = [line.rstrip(" ") for line in drawn.get().splitlines()]
        click.echo("\n".join(lines), color=True)  # rich has left out the colours that are not wanted
    if len(sources) > MOST_SAMPLES:
        print_lines([f"the first {MOST_SAMPLES} of {len(sources):,} samples are drawn", ""])


def class_bars(source: str, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line with a bar for each of the most probable classes of a sample."""
    width = text_width() or UNLIMITED
    longest = max(cells(entry["class"]) for entry in entries)
    label = min(longest, width // 2)
    room = max(1, min(40, width - label - 12))
    lines = [f"  {source}"]
    for entry in entries:
        name = clipped(entry["class"], label)
        drawn = bar(entry["probability"], room)
        gaps = " " * (label - cells(name)), " " * (room - cells(drawn))
        lines.append(f"  {name}{gaps[0]}  {drawn}{gaps[1]} {percent(entry['probability']):>7}")
    return lines
