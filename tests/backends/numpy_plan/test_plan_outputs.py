"""A plan gives the outputs of the layer-by-layer model, whatever methods, layouts, chunks and threads it uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan import executor, plan
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.methods import columns, pool, slab, winograd
from cnnspec_numpy.plan.methods.table import FAST, METHODS
from cnnspec_numpy.plan.methods.whole import Elementwise, Kernel
from cnnspec_numpy.plan.value import BATCH_LAST, CHANNELS_LAST, Layout
from plan_comparison import (
    EXACT,
    NETWORKS,
    assert_same_outputs,
    batch,
    bundled,
    force,
    network,
    options_of,
    prepare,
    worst,
)

from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_inference
from cnnspec.layers.activation import Sigmoid
from cnnspec.layers.conv import Conv
from cnnspec.layers.dense import Dense, Flatten
from cnnspec.layers.merge import Add, Multiply
from cnnspec.layers.norm import BatchNorm
from cnnspec.layers.shape import Slice
from cnnspec.testing import CASES

LAYOUTS = (CHANNELS_LAST, BATCH_LAST)

GRAPHS = {case.name: case.graph for case in CASES}
GRAPHS |= {
    name: lambda shape=shape, layers=layers: network(layers, shape) for name, (shape, layers) in NETWORKS.items()
}

graphs = pytest.mark.parametrize("name", GRAPHS)


def methods(graph: Graph, layout: Layout) -> list[list[Any]]:
    """The candidates of each operation that takes work."""
    operations = [op for op in lower(for_inference(graph).graph) if op.node.inputs]
    return [options_of(op, layout) for op in operations if not op.node.layer.aliases_input and op.node.kind != "slice"]


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


@pytest.mark.parametrize("size", [1, 300, 2000])
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method divides its output into blocks that stay in the cache."""
    for module in (columns, pool, slab):
        monkeypatch.setattr(module, "CACHE", size)
    monkeypatch.setattr(columns, "LARGEST", size)
    monkeypatch.setattr(winograd, "TILES", size)
    graph = GRAPHS[name]()
    strict = prepare(graph, "strict")
    for layout in LAYOUTS:
        for index in range(max(map(len, methods(graph, layout)))):
            with pytest.MonkeyPatch.context() as patch:
                force(patch, layout, index)
                assert_same_outputs(prepare(graph), strict, (1, 3))


def test_the_networks_exercise_every_method() -> None:
    used = set()
    for graph in GRAPHS.values():
        for layout in LAYOUTS:
            used |= {(str(m), type(m), m.layout) for found in methods(graph(), layout) for m in found}
    known = {(str(m), type(m), m.layout) for found in [*METHODS.values(), FAST] for m in found}
    known |= {(str(m), type(m), m.layout) for layout in LAYOUTS for m in (Elementwise(layout), Kernel(layout))}
    assert used == known


# Bundled networks, at sizes that keep the tests short

SIZES: dict[str, int | None] = {
    "lenet": None, "lenet5": None, "mlp": None, "resnet20": None, "allconv28": None, "separable28": None, "nin": None,
    "mobilenet_v2": 64, "densenet121": 32, "googlenet": 64, "squeezenet1_1": 64, "shufflenet_v2_x1_0": 64,
    "efficientnet_b0": 32, "resnet18": 64, "convnext_tiny": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_bundled_networks(name: str) -> None:
    graph = bundled(name, SIZES[name])
    assert_same_outputs(prepare(graph), prepare(graph, "strict"), (1, 2))


FAST_TOLERANCE = 1e-4
"""Of numerics=fast in float32: F(4×4) loses about two digits of seven; 6e-6 was measured in these networks."""


@pytest.mark.parametrize("name", ["resnet20", "unet_padded", "googlenet", "lenet"])
@pytest.mark.parametrize(("numerics", "tolerance"), [("default", 1e-5), ("fast", FAST_TOLERANCE)])
def test_float32(name: str, numerics: str, tolerance: float) -> None:
    graph = bundled(name, SIZES.get(name, 32))
    exact = prepare(graph, "strict").run(batch(graph, 2))
    model = prepare(graph, numerics, "float32")
    assert worst(model.run(batch(graph, 2)), exact) <= tolerance


def test_fast_numerics_use_the_larger_form_of_winograd() -> None:
    graph = network("conv: {channels: 64, kernel: 3, padding: same}", (64, 32, 32))
    used = {numerics: {step.method for step in prepare(graph, numerics).plan(4)} for numerics in ("default", "fast")}
    assert used == {"default": {"winograd F(2×2)"}, "fast": {"winograd F(4×4)"}}


# Batches


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["lenet", "skip", "concat", "winograd, pool"])
def test_batches_around_the_size_of_chunks(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GRAPHS[name]() if name in GRAPHS else bundled(name)
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    model = prepare(graph, threads=threads)
    monkeypatch.setattr(executor, "CHUNK_BYTES", 4 * executor.peak_activation_bytes(model._planned().graph, 1, 8))
    schedule = model._planned().schedule(13)
    assert len(schedule.shares) == threads
    assert max(chunk.stop - chunk.start for chunks in schedule.shares for chunk in chunks) in (3, 4)
    assert_same_outputs(model, prepare(graph, "strict"), (*range(1, 10), 11, 12, 13))


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_lanes(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fewer samples than threads, the threads share each step."""
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-12)
    monkeypatch.setattr(plan, "LANE_SECONDS", 0)
    graph = GRAPHS[name]()
    strict = prepare(graph, "strict")
    model = prepare(graph, threads=threads)
    schedule = model._planned().schedule(1)
    assert schedule.lanes == threads
    assert_same_outputs(model, strict, (1, threads - 1))
    for layout in LAYOUTS:
        for index in range(max(map(len, methods(graph, layout)))):
            with pytest.MonkeyPatch.context() as patch:
                force(patch, layout, index)
                assert_same_outputs(prepare(graph, threads=threads), strict, (1, threads - 1))


def test_lanes_divide_the_longer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LANE_SECONDS", 1e-6)
    monkeypatch.setattr(executor, "SHARE_SECONDS", 1e-7)
    steps = prepare(bundled("lenet"), threads=2).plan(1)
    assert {step.threads for step in steps} == {1, 2}


# What a plan must not touch


@pytest.mark.parametrize("layers", ["relu", "flatten", "dropout: 0.5", "slice: [0, 3]", "add: {a: [], b: [relu]}"])
def test_outputs_are_never_memory_of_the_plan_or_the_input(layers: str) -> None:
    graph = network(layers, (3, 2, 2))
    model = prepare(graph)
    x = batch(graph, 2)["input"]
    before = x.copy()
    first = model.predict(x)
    kept = first.copy()
    second = model.predict(x + 1)
    np.testing.assert_array_equal(first, kept)
    second[...] = np.nan
    np.testing.assert_array_equal(model.predict(x), kept)
    first[...] = np.nan
    np.testing.assert_array_equal(x, before)
    assert not np.may_share_memory(first, x)


def test_several_inputs_and_outputs() -> None:
    """One input read twice, one of another size, and outputs that are an input, a view, and a value that is read on."""
    builder = GraphBuilder("several")
    image, vector = builder.input((4, 5, 5), "image").name, builder.input((4,), "vector").name
    builder.add("gate", Sigmoid(), [vector])
    builder.add("gated", Multiply(), [image, "gate"])
    builder.add("conv", Conv(channels=4, kernel=(3, 3), padding="same"), ["gated"])
    builder.add("sum", Add(), ["conv", image])
    builder.add("flat", Flatten(), ["sum"])
    builder.add("first", Slice(channels=(0, 2)), ["sum"])
    builder.add("dense", Dense(units=3), ["flat"])
    graph = builder.graph(["gate", "sum", "flat", "first", "dense", "vector"])
    assert_same_outputs(prepare(graph), prepare(graph, "strict"), (1, 4))


def test_shared_arrays() -> None:
    builder = GraphBuilder("shared")
    last = builder.input((8, 6, 6)).name
    for i in range(3):
        arrays = {"weight": "conv0.weight", "bias": "conv0.bias"} if i else {}
        last = builder.add(f"conv{i}", Conv(channels=8, kernel=(3, 3), padding="same"), [last], arrays=arrays).name
        last = builder.add(f"norm{i}", BatchNorm(), [last]).name
    graph = builder.graph()
    assert_same_outputs(prepare(graph), prepare(graph, "strict"), (1, 3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_new_weights_are_used(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `load` and after `step`, by every method that prepares its weights."""
    graph = network(
        "conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}, conv: {channels: 8, "
        "kernel: 3, padding: same, groups: 8}, conv: {channels: 8, kernel: 3}, max_pool: 2, batch_norm, relu, "
        "layer_norm, prelu, conv_transpose: {channels: 4, kernel: 2}, group_norm: 2, sigmoid, flatten, dense: 4"
    )
    for index in range(5):
        with monkeypatch.context() as patch:
            force(patch, layout, index)
            model, strict = prepare(graph), prepare(graph, "strict")
            x = batch(graph, 3)["input"]
            for _ in range(2):
                before = model.predict(x)
                for m in (model, strict):
                    m.step(x, [0, 1, 2])
                assert worst({"y": model.predict(x)}, {"y": strict.predict(x)}) <= EXACT
                assert np.abs(model.predict(x) - before).max() > 1e-6
                for m in (model, strict):
                    m.load({name: 1.1 * array for name, array in strict.state().items()})
                assert worst({"y": model.predict(x)}, {"y": strict.predict(x)}) <= EXACT


ELEMENTWISE = [
    "relu", "relu6", "leaky_relu: 0.3", "elu", "selu", "gelu", "gelu: tanh", "silu", "mish", "sigmoid", "hard_sigmoid",
    "tanh", "hard_swish", "softplus",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_numbers_at_the_ends(layer: str, dtype: str) -> None:
    """What is infinite, NaN or zero is so in the kernel, too."""
    graph = network(layer, (12,))
    x = np.array([[-np.inf, np.inf, np.nan, 0, -0.0, 1e30, -1e30, 88, -88, 0.46875 * 2**0.5, 3, -3]], dtype)
    with np.errstate(all="ignore"):
        found, expected = (prepare(graph, kind, dtype).predict(x) for kind in ("default", "strict"))
    np.testing.assert_allclose(found, expected, 1e-5 if dtype == "float32" else 1e-13, 1e-13)
