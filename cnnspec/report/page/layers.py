"""The layers of a page: the rows of the table, and what the panel and the receptive field show of each."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, NamedTuple

from cnnspec.graph.input_ranges import Axis
from cnnspec.layers.reference import headline
from cnnspec.report.data import ReportData
from cnnspec.report.network import Excerpt, Network
from cnnspec.sizes import size_of
from cnnspec.view.explanation import Explanation
from cnnspec.view.table import describe, step_text
from cnnspec.wording import format_shape


class Cell(NamedTuple):
    """A cell of the table: its text, and what it is sorted by."""

    text: str
    key: float | str


class LayerRow(NamedTuple):
    """A layer in the table."""

    name: str
    cells: tuple[Cell, ...]


COLUMNS = (
    ("#", "number"),
    ("name", "text"),
    ("layer", "text"),
    ("reads", "text"),
    ("output", "number"),
    ("pads", "text"),
    ("parameters", "number"),
    ("MACs", "number"),
    ("receptive field", "number"),
    ("step", "number"),
    ("memory", "number"),
)
"""The columns of the table, and whether each is of text or of numbers."""


def table_rows(network: Network) -> list[LayerRow]:
    """Return a row for each layer, with the keys that each cell is sorted by."""
    found = []
    for i, (node, row) in enumerate(zip(network.graph.nodes, network.summary.rows, strict=True)):
        field, step = row.receptive_field or (), row.step or ()
        pads = " ".join(map(str, row.pads.flat)) if row.pads else ""
        cells = (
            Cell(str(i), i),
            Cell(row.name, row.name),
            Cell(describe(node), node.kind),
            Cell(", ".join(row.inputs), ", ".join(row.inputs)),
            Cell(format_shape(row.output), math.prod(row.output)),
            Cell(pads, pads),
            Cell(f"{row.parameters:,}" if row.parameters else "", row.parameters),
            Cell(f"{row.macs:,}" if row.macs else "", row.macs),
            Cell(format_shape(field), max(field, default=0)),
            Cell(step_text(row), float(max(step, default=0))),
            Cell(size_of(row.activation_bytes), row.activation_bytes),
        )
        found.append(LayerRow(row.name, cells))
    return found


def page_layers(data: ReportData) -> dict[str, Any]:
    """Return what the script of the page knows of each layer: explanation, source, and what its units read.

    Excerpts and tables of ranges that several layers have stand there once, and layers name them by their index.
    """
    network = data.network
    excerpts: dict[Excerpt, int] = {}
    tables: dict[Axis, int] = {}
    layers = []
    for node in network.graph.nodes:
        excerpt = network.excerpts.get(node.name)
        place = None if excerpt is None else excerpts.setdefault(excerpt, len(excerpts))
        reads = {
            name: [tables.setdefault(axis, len(tables)) for axis in of_input[node.name]]
            for name, of_input in network.ranges.items()
            if node.name in of_input and len(network.graph.by_name[name].shape) == 3
        }
        layers.append(_layer(network.explanations[node.name]) | {"source": place, "ranges": reads})
    return {
        "layers": layers,
        "excerpts": [asdict(excerpt) for excerpt in excerpts],
        "tables": [[[found.start, found.stop] for found in axis] for axis in tables],
        "inputs": {
            name: {"size": list(network.graph.by_name[name].shape[1:])}
            for name in network.graph.inputs
            if len(network.graph.by_name[name].shape) == 3
        },
    }


def _layer(found: Explanation) -> dict[str, Any]:
    node = found.node
    return {
        "name": node.name,
        "title": describe(node),
        "about": headline(type(node.layer)) if node.inputs else "The input of the network.",
        "shape": list(node.shape),
        "reads": list(node.inputs),
        "readBy": list(found.read_by),
        "sections": [[s.topic, s.result, [list(step) for step in s.steps]] for s in found.sections],
    }
