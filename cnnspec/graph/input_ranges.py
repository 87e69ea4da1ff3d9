"""Which pixels of an input each unit of a network reads: exactly, by position, clipped at the border."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers.geometry import hull

Axis = tuple[range, ...]
"""For each position along an axis of a node, the positions of the input that it reads, from the first to the last."""


def input_ranges(graph: Graph, name: str) -> dict[str, tuple[Axis, ...]]:
    """Return what the units of each node read of an input, along each spatial axis.

    What a unit reads along an axis depends on its position along that axis alone, so that the unit (i, j) of an image
    reads the rows `ranges[0][i]` and the columns `ranges[1][j]`. A vector has one range along each axis, of all its
    numbers together. Nodes that do not depend on the input, or whose receptive field is unknown, are left out. Of a
    border that repeats the image, and through several branches, the range is from the first to the last position read.
    """
    found: dict[str, tuple[Axis, ...]] = {}
    rank = len(graph.by_name[name].shape) - 1
    if not rank:
        return found
    known = {node for node, fields in receptive_fields(graph).items() if len(fields) == rank}
    for node in graph.nodes:
        if node.name == name:
            found[name] = tuple(tuple(range(i, i + 1) for i in range(n)) for n in node.shape[1:])
        elif node.name in known and any(read in found for read in node.inputs):
            found[node.name] = _joined([_through(node, found[read]) for read in node.inputs if read in found])
    return found


def _through(node: Node, before: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return what the units of a node read by way of one of its inputs, whose units read `before`."""
    wholes = tuple((hull(*axis),) for axis in before)
    if len(node.shape) == 1:
        return wholes
    sizes = node.shape[1:]
    rows = [[min(i, n - 1) for n in sizes] for i in range(max(sizes))]
    read = [node.layer.read_ranges(position, node.in_shapes, node.inferred) for position in rows]
    return tuple(
        tuple(hull(*_of(axis, read[i][at])) for i in range(n))
        for at, (axis, n) in enumerate(zip(before, sizes, strict=True))
    )


def _of(axis: Axis, read: range) -> Axis:
    """Return what the units of a range read; where a single unit is repeated, it stands for all."""
    return axis if read and len(axis) == 1 else axis[read.start : read.stop]


def centre(node: Node) -> tuple[int, ...]:
    """Return the position in the middle of a node along each spatial axis."""
    return tuple(n // 2 for n in node.shape[1:])


def _joined(branches: Sequence[tuple[Axis, ...]]) -> tuple[Axis, ...]:
    if len(branches) == 1:
        return branches[0]
    return tuple(tuple(hull(*of_all) for of_all in zip(*axes, strict=True)) for axes in zip(*branches, strict=True))


def unit_range(axes: Sequence[Axis], position: Sequence[int]) -> tuple[range, ...]:
    """Return what the unit at a position reads of the input, along each axis; of a vector, what all of it reads."""
    return tuple(axis[i] for axis, i in zip(axes, position or [0] * len(axes), strict=True))
