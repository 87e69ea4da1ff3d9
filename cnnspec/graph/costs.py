"""The cost of each layer and of the network: parameters, MACs, memory, receptive field.

Conventions. MACs count the multiply-accumulates of convolutions, dense layers, attention and matrix products, without
bias; FLOPs are 2 × MACs.
An activation takes `batch` times its size, in the number format of the run. While a layer runs, its inputs,
its output and every other activation that a later layer reads are alive, and nothing else is. Layers whose output
shares the memory of the input (flatten; dropout at inference) take no buffer.
Inference holds the weights and the activations at their peak, both in the format. The memory of training is that of
`training_memory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.liveness import buffers, buffers_released_after
from cnnspec.graph.training import Adam, Train
from cnnspec.graph.training_memory import training_memory
from cnnspec.layers import Shape
from cnnspec.layers.base import Fields
from cnnspec.layers.geometry import Pads, ReceptiveField

DTYPES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""The bytes of a number in each format."""


class Row(NamedTuple):
    """One layer of the table; its parameters are those that it does not share with an earlier one."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: Shape
    pads: Pads | None
    parameters: int
    macs: int
    receptive_field: tuple[int, ...] | None
    """The receptive field of one element along each axis, in elements of the input; None where that is a vector."""
    step: tuple[Fraction, ...] | None
    """The distance of the receptive fields of neighbours along each axis, in elements of the input."""
    activation_bytes: int
    shares: str | None
    """The earlier layer whose parameters it uses, if there is one."""


class Totals(NamedTuple):
    """The sums over a network, for a batch."""

    parameters: int
    macs: int
    flops: int
    parameter_bytes: int
    peak_activation_bytes: int
    training_bytes: int

    @property
    def inference_bytes(self) -> int:
        """The memory of the weights and of the activations at their peak."""
        return self.parameter_bytes + self.peak_activation_bytes


class Summary(NamedTuple):
    """The table of a network, its totals, and the layer kinds sorted by parameters, largest first."""

    rows: tuple[Row, ...]
    totals: Totals
    by_kind: tuple[tuple[str, int, int], ...]
    """(kind, parameters, MACs)."""
    state: int
    """The number of elements that are saved but not trained (running statistics)."""
    optimizer: str
    """The optimizer whose state is counted in the training memory."""
    frozen: int = 0
    """The number of parameters that training leaves as they are."""


def summarize(
    graph: Graph,
    batch: int = 1,
    itemsize: int = 4,
    train: Train | None = None,
    trained: Graph | None = None,
) -> Summary:
    """Return the table and the totals of a graph for a batch of samples, with `itemsize` bytes for each number.

    `train` holds the settings of training, those of `default_train` where it is None; `trained` is the graph with its
    frozen layers marked, which the memory of training is that of.
    """
    fields = receptive_fields(graph)
    rows = []
    counted: set[str] = set()
    for node in graph.nodes:
        seen = fields[node.name]
        own = [p for key, p in node.parameters.items() if node.arrays[key] not in counted]
        counted.update(node.arrays.values())
        rows.append(
            Row(
                node.name,
                node.kind,
                node.inputs,
                node.shape,
                node.inferred.pads if _has_padding(node) else None,
                sum(p.size for p in own if p.trainable),
                node.layer.macs(node.in_shapes, node.shape),
                tuple(field.size for field in seen) if seen else None,
                tuple(field.step for field in seen) if seen else None,
                _bytes(node, batch, itemsize),
                graph.shares.get(node.name),
            )
        )
    parameters = trainable(graph.nodes)
    total_macs = sum(row.macs for row in rows)
    state = sum(p.size for p in graph.parameters.values() if not p.trainable)
    train = train or default_train()
    peak = peak_activation_bytes(graph, batch, itemsize)
    training = training_memory(trained or graph, itemsize, train).bytes(batch)
    totals = Totals(parameters, total_macs, 2 * total_macs, itemsize * (parameters + state), peak, training)
    frozen = parameters - trainable(trained.nodes) if trained else 0
    return Summary(tuple(rows), totals, _by_kind(rows), state, train.optimizer.kind, frozen)


def default_train() -> Train:
    """Return the settings whose memory of training is stated where a spec has no `train:` section: Adam's."""
    return Train(optimizer=Adam())


def inference_bytes(graph: Graph, batch: int = 1, itemsize: int = 4) -> int:
    """Return the memory of inference: the weights, and the activations at their peak."""
    return itemsize * sum(p.size for p in graph.parameters.values()) + peak_activation_bytes(graph, batch, itemsize)


def _has_padding(node: Node) -> bool:
    return bool(node.windows) and "padding" in type(node.layer).model_fields


def _bytes(node: Node, batch: int, itemsize: int) -> int:
    return batch * math.prod(node.shape) * itemsize


def _by_kind(rows: list[Row]) -> tuple[tuple[str, int, int], ...]:
    sums: dict[str, list[int]] = {}
    for row in rows:
        of_kind = sums.setdefault(row.kind, [0, 0])
        of_kind[0] += row.parameters
        of_kind[1] += row.macs
    found = [(kind, parameters, macs) for kind, (parameters, macs) in sums.items() if parameters or macs]
    by_parameters: Callable[[tuple[str, int, int]], int] = lambda entry: -entry[1]  # noqa: E731
    return tuple(sorted(found, key=by_parameters))


def peak_activation_bytes(graph: Graph, batch: int = 1, itemsize: int = 4) -> int:
    """Return the most bytes that activations take at one time, each freed as soon as its last reader has run."""
    return max(live_bytes(graph, batch, itemsize), default=0)


def live_bytes(graph: Graph, batch: int = 1, itemsize: int = 4) -> list[int]:
    """Return the bytes that activations take while each node runs, in the order of the nodes."""
    owner = buffers(graph)
    live, found = 0, []
    for node, released in zip(graph.nodes, buffers_released_after(graph), strict=True):
        if owner[node.name] == node.name:
            live += _bytes(node, batch, itemsize)
        found.append(live)
        live -= sum(_bytes(graph.by_name[name], batch, itemsize) for name in released)
    return found


def receptive_fields(graph: Graph, read: Callable[[ReceptiveField], ReceptiveField] | None = None) -> dict[str, Fields]:
    """Return the receptive field of each node along each axis; nothing where the input is a vector.

    Nothing, either, where inputs with different numbers of axes meet. A node is given `read` of the fields that it
    reads, where that is given.
    """
    fields: dict[str, Fields] = {}
    for node in graph.nodes:
        if not node.inputs:
            fields[node.name] = tuple(ReceptiveField.of(n) for n in node.shape[1:])
            continue
        seen, *others = [fields[name] if read is None else tuple(map(read, fields[name])) for name in node.inputs]
        if len({len(axes) for axes in (seen, *others)}) > 1:
            seen = ()
        elif others:
            seen = tuple(axes[0].merged(*axes[1:]) for axes in zip(seen, *others, strict=True))
        fields[node.name] = node.layer.receptive_field(seen, node.in_shapes, node.inferred) if seen else ()
    return fields


def trainable(nodes: Iterable[Node]) -> int:
    """Return how many numbers are trained; an array that nodes share counts once."""
    arrays = {node.arrays[key]: p for node in nodes for key, p in node.parameters.items() if p.trainable}
    return sum(p.size for p in arrays.values())


def macs(nodes: Iterable[Node]) -> int:
    """Return the multiply-accumulates of one sample."""
    return sum(node.layer.macs(node.in_shapes, node.shape) for node in nodes)
