"""A plan gives the outputs of the layer-by-layer model, whatever methods, layouts, chunks and threads it uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan import executor, plan
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.methods.table import FAST, METHODS
from cnnspec_numpy.plan.methods.whole import Elementwise, Kernel
from cnnspec_numpy.plan.value import BATCH_LAST, CHANNELS_LAST, Layout
from plan_comparison import NETWORKS, assert_same_outputs, batch, bundled, force, network, options_of, prepare, worst

from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_inference
from cnnspec.testing import CASES

LAYOUTS = (CHANNELS_LAST, BATCH_LAST)

GRAPHS = {case.name: case.graph for case in CASES}
GRAPHS |= {name: lambda shape=shape, layers=layers: network(layers, shape) for name, (shape, layers) in NETWORKS.items()}

graphs = pytest.mark.parametrize("name", GRAPHS)


def methods(graph: Graph, layout: Layout) -> list[list[Any]]:
    """The candidates of each operation that takes work."""
    operations = [op for op in lower(for_inference(graph).graph) if op.node.inputs]
    return [
        options_of(op, layout) for op in operations if not op.node.layer.aliases_input and op.node.kind != "slice"
    ]


@graphs
def test_every_method_in_every_layout(name: str) -> None:
    graph = GRAPHS[name]()
    strict = prepare(graph, "strict")
    assert_same_outputs(prepare(graph), strict, (1, 3))
    for layout in LAYOUTS:
        for index in range(max((len(found) for found in methods(graph, layout)), default=1)):
            with pytest.MonkeyPatch.context() as patch:
                force(patch, layout, index)
                assert_same_outputs(prepare(graph), strict, (3,))


def test_the_networks_exercise_every_method() -> None:
    used = set()
    for graph in GRAPHS.values():
        for layout in LAYOUTS:
            used |= {(str(m), type(m), m.layout) for found in methods(graph(), layout) for m in found}
    known = {(str(m), type(m), m.layout) for found in [*METHODS.values(), FAST] for m in found}
    known |= {(str(m), type(m), m.layout) for layout in LAYOUTS for m in (Elementwise(layout), Kernel(layout))}
    assert used == known
