"""Rounding in float32: of every layer by plan, and of each method of a convolution by itself."""

from __future__ import annotations

import pytest
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.value import Layout
from plan_comparison import batch, force, network, options_of, prepare, worst
from test_plan_outputs import GRAPHS

from cnnspec.graph.rewrites import for_inference

FLOAT32 = 1e-6
"""Of single layers, relative to the largest output; at most 2.9e-7 was measured, and 4.0e-7 of the kernels."""


@pytest.mark.parametrize("name", GRAPHS)
def test_every_layer(name: str) -> None:
    graph = GRAPHS[name]()
    exact = prepare(graph, "strict").run(batch(graph, 3))
    assert worst(prepare(graph, dtype="float32").run(batch(graph, 3)), exact) <= FLOAT32


BOUNDS = {"winograd F(2×2)": 2e-6, "winograd F(4×4)": 5e-5}
"""At most 7.4e-7 and 2.1e-5 were measured, for up to 512 channels."""


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_every_method_of_a_convolution(channels: int, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(f"conv: {{channels: {channels}, kernel: 3, padding: same}}", (channels, 12, 12))
    exact = prepare(graph, "strict").run(batch(graph, 1))
    operation = lower(for_inference(graph).graph)[-1]
    methods = [str(method) for method in options_of(operation, layout)]
    assert {*BOUNDS} < {*methods}
    for index, method in enumerate(methods):
        with monkeypatch.context() as patch:
            force(patch, layout, index)
            found = prepare(graph, "fast", "float32").run(batch(graph, 1))
        assert worst(found, exact) <= BOUNDS.get(method, 2e-6), method
