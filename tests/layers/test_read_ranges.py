"""The positions that a layer says it reads are those that its output depends on, by the definitions in float64."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.graph.graph import Graph
from cnnspec.layers.activation import AlongAxis
from cnnspec.layers.geometry import Window, span
from cnnspec.layers.norm import Norm
from cnnspec.testing import CASES, Case, run


def layers_alone() -> list[Case]:
    """The cases of one layer on an image, from image to image, whose receptive field is known."""
    found = []
    for case in CASES:
        graph = case.graph()
        node = graph.output
        reads_one = len(graph.nodes) == 2 and len(node.shape) == len(graph.nodes[0].shape) == 3
        moves = reads_one and case.kind in ("reshape", "permute")
        if reads_one and not moves and not isinstance(node.layer, Norm | AlongAxis):
            found.append(case)
    return found


def rows_read(case: Case, graph: Graph, axis: int) -> list[range]:
    """For each row (or column) of the output, the rows of the input that change it, first to last."""
    weights, x = case.weights(), case.x()[:1]
    before = run(graph, weights, x)[graph.output.name]
    other = 5 - axis
    reacts: list[list[int]] = [[] for _ in range(graph.output.shape[axis - 1])]
    for i in range(x.shape[axis]):
        changed = np.zeros(before.shape[axis], bool)
        for delta in (7.0, -7.0, 1e-3):
            moved = x.copy()
            moved[(slice(None),) * axis + (i,)] += delta
            after = run(graph, weights, moved)[graph.output.name]
            changed |= (after != before).any(axis=(0, 1, other))
        for j in np.flatnonzero(changed):
            reacts[j].append(i)
    return [span(found) for found in reacts]


@pytest.mark.parametrize("case", layers_alone(), ids=str)
def test_a_layer_reads_what_it_depends_on(case: Case) -> None:
    graph = case.graph()
    node = graph.output
    sizes = node.shape[1:]
    for at, n in enumerate(sizes):
        said = [
            node.layer.read_ranges([min(i, size - 1) for size in sizes], node.in_shapes, node.inferred)[at]
            for i in range(n)
        ]
        assert said == rows_read(case, graph, at + 2)


def test_a_window_in_the_padding_alone_reads_nothing() -> None:
    assert len(Window(1, 1, 1, before=2, after=2, extra=0, out=9).covered(0, 5)) == 0


def test_the_table_has_windows_borders_and_enlargements() -> None:
    kinds = {case.kind for case in layers_alone()}
    wanted = {"conv", "conv_transpose", "max_pool", "adaptive_avg_pool", "pad", "crop", "slice", "upsample", "resize"}
    assert wanted | {"depth_to_space", "space_to_depth", "reduce", "attention", "relu"} <= kinds
