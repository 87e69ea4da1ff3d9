"""Graph to table and totals: what each layer makes, holds, costs and sees.

Conventions. MACs count the multiply-accumulates of convolutions and dense layers, without bias; FLOPs are 2 × MACs.
An activation takes `batch` times its size, in the number format of the run. While a layer runs, what it reads and
what it makes are alive; everything else that a later layer still reads is alive too, and nothing more. Layers that
only pass numbers on (flatten; dropout outside of training) make no new buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.training import Adam, Optimizer
from cnnspec.layers import Shape
from cnnspec.layers.geometry import Field, Pads

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


class Row(NamedTuple):
    """One layer of the table."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: Shape
    pads: Pads | None
    parameters: int
    macs: int
    receptive_field: tuple[int, int] | None
    """Height and width of what one element sees of the input image; None where the input is a vector."""
    step: tuple[Fraction, Fraction] | None
    """How far apart, in the input, the fields of neighbours are."""
    activation_bytes: int


class Totals(NamedTuple):
    """The sums over a network, for a batch."""

    parameters: int
    macs: int
    flops: int
    parameter_bytes: int
    peak_activation_bytes: int
    training_bytes: int


class Summary(NamedTuple):
    """The table of a network, its totals, and the layer kinds by their share of the parameters, largest first."""

    rows: tuple[Row, ...]
    totals: Totals
    shares: tuple[tuple[str, int, int], ...]
    """(kind, parameters, MACs)."""
    state: int
    """Numbers that are saved but not learned (running statistics)."""
    optimizer: str
    """Whose state the training memory counts."""


def summarize(graph: Graph, batch: int = 1, dtype: str = "float32") -> Summary:
    """The table and the totals of a graph for a batch of samples."""
    width = BYTES[dtype]
    fields = receptive_fields(graph)
    rows = []
    for node in graph.nodes:
        seen = fields[node.name]
        rows.append(
            Row(
                node.name,
                node.kind,
                node.inputs,
                node.shape,
                node.pads,
                sum(p.size for p in node.parameters.values() if p.trainable),
                node.layer.macs(node.in_shapes, node.shape),
                (seen[0].size, seen[1].size) if seen else None,
                (seen[0].step, seen[1].step) if seen else None,
                _bytes(node, batch, width),
            )
        )
    parameters = sum(row.parameters for row in rows)
    macs = sum(row.macs for row in rows)
    state = sum(p.size for p in graph.parameters.values() if not p.trainable)
    optimizer: Optimizer = graph.train.optimizer if graph.train else Adam()
    saved = sum(_bytes(node, batch, width) for node in graph.nodes if not node.layer.view)
    training = width * (parameters * (2 + optimizer.slots) + state) + saved
    totals = Totals(
        parameters, macs, 2 * macs, width * (parameters + state), peak_activation_bytes(graph, batch, dtype), training
    )
    return Summary(tuple(rows), totals, _shares(rows), state, optimizer.kind)


def _bytes(node: Node, batch: int, width: int) -> int:
    return batch * math.prod(node.shape) * width


def _shares(rows: list[Row]) -> tuple[tuple[str, int, int], ...]:
    sums: dict[str, list[int]] = {}
    for row in rows:
        of_kind = sums.setdefault(row.kind, [0, 0])
        of_kind[0] += row.parameters
        of_kind[1] += row.macs
    shares = [(kind, parameters, macs) for kind, (parameters, macs) in sums.items() if parameters or macs]
    by_parameters: Callable[[tuple[str, int, int]], int] = lambda share: -share[1]  # noqa: E731
    return tuple(sorted(shares, key=by_parameters))


def peak_activation_bytes(graph: Graph, batch: int = 1, dtype: str = "float32") -> int:
    """The most memory that activations take at one time, each freed as soon as its last reader has run."""
    owner: dict[str, str] = {}
    for node in graph.nodes:
        owner[node.name] = owner[node.inputs[0]] if node.layer.view and node.inputs else node.name
    last_read = {node.name: i for i, node in enumerate(graph.nodes)}
    for name, i in graph.last_use.items():
        last_read[owner[name]] = max(last_read[owner[name]], i)
    ends: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if owner[node.name] == node.name:
            ends.setdefault(last_read[node.name], []).append(node)
    live = peak = 0
    for i, node in enumerate(graph.nodes):
        if owner[node.name] == node.name:
            live += _bytes(node, batch, BYTES[dtype])
        peak = max(peak, live)
        live -= sum(_bytes(dead, batch, BYTES[dtype]) for dead in ends.get(i, ()))
    return peak


def receptive_fields(graph: Graph) -> dict[str, tuple[Field, Field] | None]:
    """What one element of each node sees of the input image; None where the input is a vector."""
    start = graph.nodes[0].shape
    if len(start) != 3:
        return {node.name: None for node in graph.nodes}
    first = graph.nodes[0].name
    fields: dict[str, tuple[Field, Field]] = {first: (Field.of(start[1]), Field.of(start[2]))}
    for node in graph.nodes[1:]:
        (h, w), *others = [fields[name] for name in node.inputs]
        if others:
            h, w = h.joined(*(other[0] for other in others)), w.joined(*(other[1] for other in others))
        fields[node.name] = node.layer.field((h, w), node.in_shapes, node.shape)
    return dict(fields)


def trainable(nodes: Sequence[Node]) -> int:
    """How many numbers are learned."""
    return sum(p.size for node in nodes for p in node.parameters.values() if p.trainable)


def macs(nodes: Sequence[Node]) -> int:
    """The multiply-accumulates of one sample."""
    return sum(node.layer.macs(node.in_shapes, node.shape) for node in nodes)
