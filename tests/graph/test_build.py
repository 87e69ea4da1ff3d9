"""Graphs built without text: inference, several inputs and outputs, shared arrays; and that both backends run them."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.errors import InputError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.costs import trainable
from cnnspec.graph.graph import Graph
from cnnspec.layers import ShapeError
from cnnspec.layers.activation import Relu, Tanh
from cnnspec.layers.conv import Conv
from cnnspec.layers.dense import Dense, Flatten
from cnnspec.layers.geometry import Window
from cnnspec.layers.merge import Add
from cnnspec.layers.pool import MaxPool
from cnnspec.runtime import backend as backends
from cnnspec.weights.initial import initial

BACKENDS = sorted(backends.available())


def towers() -> Graph:
    """Two inputs through one convolution, and two outputs."""
    builder = GraphBuilder("towers")
    shared = {"weight": "left.weight", "bias": "left.bias"}
    for name in ("a", "b"):
        builder.input((2, 5, 5), name)
    builder.add("left", Conv(channels=3, kernel=(3, 3)), ["a"])
    builder.add("right", Conv(channels=3, kernel=(3, 3)), ["b"], arrays=shared)
    builder.add("sum", Add(), ["left", "right"], branches=("left", "right"))
    builder.add("flat", Flatten(), ["sum"])
    builder.add("head", Dense(units=4), ["flat"])
    return builder.graph(outputs=["head", "right"])


def test_shapes_windows_and_names_are_inferred() -> None:
    builder = GraphBuilder("net")
    builder.input((1, 8, 8))
    node = builder.add("c", Conv(channels=2, kernel=(3, 3), padding="same"), ["input"])
    pool = builder.add("p", MaxPool(kernel=(2, 2)), ["c"])
    assert (node.shape, node.in_shapes) == ((2, 8, 8), ((1, 8, 8),))
    assert node.windows == (Window(3, 1, 1, 1, 1, 0, 8),) * 2
    assert pool.windows == (Window(2, 2, 1, 0, 0, 0, 4),) * 2
    assert dict(node.arrays) == {"weight": "c.weight", "bias": "c.bias"}
    graph = builder.graph()
    assert (graph.inputs, graph.outputs) == (("input",), ("p",))
    assert (graph.input.shape, graph.output) == ((1, 8, 8), pool)


def test_what_does_not_fit_is_an_error_without_a_place() -> None:
    builder = GraphBuilder("net")
    builder.input((1, 2, 2))
    with pytest.raises(ShapeError, match="window does not fit") as caught:
        builder.add("c", Conv(channels=2, kernel=(5, 5)), ["input"])
    assert caught.value.field == "kernel"
    with pytest.raises(ValueError, match="`r` reads `nothing`, which is not in the graph"):
        builder.add("r", Relu(), ["nothing"])
    builder.add("r", Relu(), ["input"])
    with pytest.raises(ValueError, match="`r` is in the graph already"):
        builder.add("r", Relu(), ["input"])


def test_a_graph_with_several_outputs_has_no_single_one() -> None:
    graph = towers()
    with pytest.raises(ValueError, match=r"`towers` has 2 outputs \(head, right\), not one"):
        _ = graph.output
    with pytest.raises(ValueError, match=r"`towers` has 2 inputs \(a, b\), not one"):
        _ = graph.input


def test_shared_arrays_count_once() -> None:
    graph = towers()
    assert list(graph.parameters) == ["left.weight", "left.bias", "head.weight", "head.bias"]
    assert trainable(graph.nodes) == 2 * 3 * 9 + 3 + 27 * 4 + 4


@pytest.mark.parametrize("name", BACKENDS)
def test_several_inputs_and_outputs_run_by_name(name: str) -> None:
    graph = towers()
    weights = initial(graph, 0)
    model = backends.find(name).prepare(graph, weights, device="cpu", dtype="float64")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 2, 5, 5))
    found = model.run({"a": a, "b": b})
    assert {key: y.shape for key, y in found.items()} == {"head": (3, 4), "right": (3, 3, 3, 3)}
    swapped = model.run({"a": b, "b": a})
    np.testing.assert_allclose(found["head"], swapped["head"], rtol=1e-12)
    assert not np.allclose(found["right"], swapped["right"])
    with pytest.raises(InputError, match="the network has the inputs a, b, and is given a"):
        model.run({"a": a})
    with pytest.raises(InputError, match="batches of different sizes: 2, 3"):
        model.run({"a": a, "b": b[:2]})


def siamese(share: bool) -> Graph:
    """One input through one dense layer twice."""
    builder = GraphBuilder("siamese")
    builder.input((3,))
    builder.add("one", Dense(units=3), ["input"])
    builder.add("bent", Tanh(), ["one"])
    shared = {"weight": "one.weight", "bias": "one.bias"} if share else None
    builder.add("two", Dense(units=3), ["bent"], arrays=shared)
    return builder.graph()


@pytest.mark.parametrize("name", BACKENDS)
def test_gradients_of_a_shared_array_add_up(name: str) -> None:
    """The gradient of a shared array is the sum of those of two arrays with the same numbers."""
    weights = initial(siamese(share=True), 0)
    twice = weights | {f"two.{key}": weights[f"one.{key}"] for key in ("weight", "bias")}
    x, dy = np.random.default_rng(1).normal(size=(2, 4, 3))
    backend = backends.find(name)
    one = backend.prepare(siamese(share=True), weights, device="cpu", dtype="float64")
    two = backend.prepare(siamese(share=False), twice, device="cpu", dtype="float64")
    np.testing.assert_allclose(one.predict(x), two.predict(x), rtol=1e-12)
    (dx, shared), (dx_of_two, separate) = one.vjp(x, dy), two.vjp(x, dy)
    np.testing.assert_allclose(dx, dx_of_two, rtol=1e-12)
    assert shared.keys() == {"one.weight", "one.bias"}
    for key in ("weight", "bias"):
        np.testing.assert_allclose(shared[f"one.{key}"], separate[f"one.{key}"] + separate[f"two.{key}"], rtol=1e-12)
    assert one.state().keys() == {"one.weight", "one.bias"}
