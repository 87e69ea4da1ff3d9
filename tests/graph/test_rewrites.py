"""Rewrites give the same outputs with fewer layers, and leave alone what they must not change."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cnnspec_numpy import backend

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_inference, for_training, with_rescaled_activations
from cnnspec.layers import LAYERS
from cnnspec.runtime.model import Model
from cnnspec.testing import CASES, Case


def network(layers: str, inputs: str = "[3, 8, 8]") -> Graph:
    return cnnspec.loads(f"input: {inputs}\nlayers: [{layers}]\n").graph


def kinds(graph: Graph) -> list[str]:
    return [node.kind for node in for_inference(graph).graph.nodes[1:]]


def random_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Weights of either sign, and positive variances."""
    rng = np.random.default_rng(0)
    return {
        name: rng.uniform(0.5, 2, p.shape) if name.endswith("running_var") else rng.normal(0, 1, p.shape)
        for name, p in graph.parameters.items()
    }


def prepare(graph: Graph, numerics: str, dtype: str = "float64") -> Model:
    return backend.prepare(graph, random_weights(graph), device="cpu", dtype=dtype, numerics=numerics)


def assert_equal_outputs(graph: Graph) -> None:
    """Compare float64 outputs of the plan with those of the readable kernels, to 1e-12 of the largest."""
    x = np.random.default_rng(1).normal(size=(3, *graph.input.shape))
    expected = prepare(graph, "strict").predict(x)
    assert np.isfinite(expected).any()
    scale = np.nanmax(np.abs(expected), initial=1e-300)  # a root of a negative number is NaN in both
    np.testing.assert_allclose(prepare(graph, "default").predict(x), expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize(
    ("layers", "rewritten"),
    [
        ("dropout: 0.5, relu", ["relu"]),
        ("relu, dropout: 0.5", ["relu", "dropout"]),  # the output keeps its name
        ("conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}", ["conv", "relu"]),
        ("conv: {channels: 4, kernel: 3}, batch_norm, scale: 2, batch_norm", ["conv"]),
        ("conv: {channels: 4, kernel: 3}, dropout: 0.1, batch_norm", ["conv"]),
        ("conv: {channels: 6, kernel: 3, groups: 3, padding: same}, batch_norm", ["conv"]),
        ("conv_transpose: {channels: 6, kernel: 3, groups: 3, stride: 2}, batch_norm", ["conv_transpose"]),
        ("flatten, dense: 4, batch_norm", ["flatten", "dense"]),
        ("conv: {channels: 4, kernel: 3}, scale: {value: 2, learn: false}", ["conv", "scale"]),
        ("relu, batch_norm", ["relu", "batch_norm"]),
        ("batch_norm, conv: {channels: 4, kernel: 3}", ["batch_norm", "conv"]),
        ("dense: {units: 4, name: a}, batch_norm, add: {x: [], y: [from: a]}", ["dense", "batch_norm", "add"]),
        ("sigmoid, max_pool: 2", ["max_pool", "sigmoid"]),
        ("sigmoid, tanh, max_pool: {kernel: 3, padding: 2}, relu", ["max_pool", "sigmoid", "tanh", "relu"]),
        ("relu, global_max_pool", ["global_max_pool", "relu"]),
        ("gelu, max_pool: 2", ["gelu", "max_pool"]),  # decreases somewhere
        ("prelu, max_pool: 2", ["prelu", "max_pool"]),  # a slope may be negative
        ("leaky_relu: -0.1, max_pool: 2", ["leaky_relu", "max_pool"]),
        ("softmax, max_pool: 2", ["softmax", "max_pool"]),
        ("sigmoid, avg_pool: 2", ["sigmoid", "avg_pool"]),
        ("add: {x: [sigmoid, max_pool: 2], y: [max_pool: 2]}", ["max_pool", "sigmoid", "max_pool", "add"]),
        ("tanh, add: {x: [max_pool: 2], y: [max_pool: 2]}", ["tanh", "max_pool", "max_pool", "add"]),  # read twice
    ],
)
def test_a_rewrite_and_where_it_does_not_apply(layers: str, rewritten: list[str]) -> None:
    graph = network(layers, "[5]" if layers.startswith("dense") else "[3, 8, 8]")
    assert kinds(graph) == rewritten
    assert_equal_outputs(graph)


CONV, CONV2 = "conv: {channels: 4, kernel: 3}", "conv: {channels: 2, kernel: 2}"


@pytest.mark.parametrize(
    "layers",
    [
        f"{CONV}, sigmoid, {CONV2}",
        f"{CONV}, sigmoid, {CONV2}, sigmoid, {CONV2}",  # the middle one takes the constants of both
        f"{CONV}, sigmoid, max_pool: {{kernel: 2, padding: 1}}, {CONV2}",
        f"{CONV}, sigmoid, avg_pool: {{kernel: 3, padding: 2, count_padding: false}}, {CONV2}",
        f"{CONV}, sigmoid, avg_pool: {{kernel: 2, rounding: ceil}}, {CONV2}",
        f"{CONV}, sigmoid, flatten, dense: 3, sigmoid, dense: 2",
        f"{CONV}, sigmoid, global_avg_pool, dense: 3",
        f"{CONV}, sigmoid, global_max_pool, dense: 3",
        f"{CONV}, sigmoid, adaptive_avg_pool: 4, {CONV2}",
        f"{CONV}, sigmoid, upsample: {{scale: 2, mode: bilinear}}, {CONV2}",
        f"{CONV}, sigmoid, pad: {{padding: 2, mode: reflect}}, crop: 5, slice: [1, 3], {CONV2}",
        f"{CONV}, channel_shuffle: 2, sigmoid, channel_shuffle: 4, {CONV2}",
        f"{CONV}, avg_pool: {{kernel: 2, padding: 2}}, sigmoid, {CONV2}",  # a factor alone commutes with zeros
        "conv: {channels: 4, kernel: 3, bias: false}, sigmoid, conv: {channels: 2, kernel: 3, bias: false}",
        f"{CONV}, batch_norm, sigmoid, {CONV2}, batch_norm",
        f"conv_transpose: {{channels: 4, kernel: 3, stride: 2}}, sigmoid, {CONV2}",
        f"{CONV}, sigmoid, conv: {{channels: 4, kernel: 3, groups: 2, stride: 2, dilation: 2, flip: true}}",
    ],
)
def test_a_sigmoid_between_layers_with_weights_is_a_tanh(layers: str) -> None:
    graph = network(layers)
    rewritten = [node.kind for node in with_rescaled_activations(for_inference(graph)).graph.nodes]
    assert "sigmoid" not in rewritten
    assert rewritten.count("tanh") == [node.kind for node in graph.nodes].count("sigmoid")
    assert_equal_outputs(graph)


@pytest.mark.parametrize(
    "layers",
    [
        f"sigmoid, {CONV2}",
        f"{CONV}, sigmoid",
        f"{CONV}, relu, sigmoid, {CONV2}",
        f"{CONV}, sigmoid, relu, {CONV2}",
        f"{CONV}, sigmoid, conv: {{channels: 2, kernel: 3, padding: same}}",  # ½ is not what the padding adds
        f"{CONV}, sigmoid, avg_pool: {{kernel: 3, padding: 2}}, {CONV2}",
        f"{CONV}, sigmoid, pad: 2, {CONV2}",
        f"{CONV}, sigmoid, conv_transpose: {{channels: 2, kernel: 3}}",  # fewer taps at the edges
        f"{CONV}, sigmoid, add: {{x: [{CONV2}], y: [{CONV2}]}}",  # read twice
        f"{CONV}, sigmoid, add: {{x: [{CONV}], y: [crop: 4]}}",
        f"{CONV}, add: {{x: [sigmoid], y: []}}, {CONV2}",
    ],
)
def test_a_sigmoid_stays_where_a_neighbour_cannot_take_its_constants(layers: str) -> None:
    graph = network(layers)
    done = for_inference(graph)
    assert with_rescaled_activations(done).graph == done.graph
    assert_equal_outputs(graph)


def test_lenet_has_a_tanh_for_each_sigmoid() -> None:
    graph = cnnspec.load("lenet").graph
    done = with_rescaled_activations(for_inference(graph))
    assert Counter(node.kind for node in done.graph.nodes)["tanh"] == 4
    assert [node.name for node in done.graph.nodes] == [node.name for node in for_inference(graph).graph.nodes]
    assert {name for recipe in done.recipes.values() for name in recipe.sources} == graph.parameters.keys()
    assert_equal_outputs(graph)


@pytest.mark.parametrize(
    ("layers", "rewritten"),
    [
        (
            "sigmoid, tanh, max_pool: 2, relu, global_max_pool",
            ["max_pool", "global_max_pool", "sigmoid", "tanh", "relu"],
        ),
        ("conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}", ["conv", "batch_norm", "relu"]),
        ("dropout: 0.5, max_pool: 2", ["dropout", "max_pool"]),  # the elements that it keeps are drawn for its shape
        ("scale: 2, max_pool: 2", ["scale", "max_pool"]),  # learned: it may become negative
        ("gelu, max_pool: 2", ["gelu", "max_pool"]),
        ("tanh, add: {x: [max_pool: 2], y: [max_pool: 2]}", ["tanh", "max_pool", "max_pool", "add"]),
    ],
)
def test_training_swaps_pools_and_activations_alone(layers: str, rewritten: list[str]) -> None:
    graph = network(layers)
    done = for_training(graph)
    assert [node.kind for node in done.graph.nodes[1:]] == rewritten
    assert done.recipes == {}
    assert done.graph.parameters == graph.parameters
    assert (done.graph.inputs, done.graph.outputs) == (graph.inputs, graph.outputs)
    assert {node.name for node in done.graph.nodes} == {node.name for node in graph.nodes}


def test_weights_that_nodes_share_are_folded_for_each_by_itself() -> None:
    from cnnspec.graph.build import GraphBuilder
    from cnnspec.layers.dense import Dense
    from cnnspec.layers.norm import BatchNorm

    builder = GraphBuilder("shared")
    last = builder.input((3,)).name
    for i, arrays in enumerate([{}, {"weight": "dense0.weight", "bias": "dense0.bias"}]):
        last = builder.add(f"dense{i}", Dense(units=3), [last], arrays=arrays).name
        last = builder.add(f"norm{i}", BatchNorm(), [last]).name
    graph = builder.graph()
    assert kinds(graph) == ["dense", "dense"]
    assert_equal_outputs(graph)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_keeps_its_outputs(case: Case) -> None:
    assert_equal_outputs(case.graph())


@pytest.mark.parametrize("name", ["lenet", "resnet20", "mobilenet_v2", "densenet121", "googlenet", "unet_padded"])
def test_bundled_networks(name: str) -> None:
    spec = cnnspec.load(name)
    shape = spec.input.shape if spec.input.shape[1] <= 32 else (spec.input.shape[0], 64, 64)
    graph = cnnspec.load(name, input_shape=shape).graph
    done = for_inference(graph)
    assert {node.name for node in done.graph.nodes} >= {*graph.outputs, *graph.inputs}
    assert {source for recipe in done.recipes.values() for source in recipe.sources} <= graph.parameters.keys()
    assert done.graph.parameters.keys() <= graph.parameters.keys() | done.recipes.keys()
    weights = cnnspec.build(graph, "numpy", dtype="float64").state()
    x = np.random.default_rng(1).normal(size=(1, *graph.input.shape))
    expected, found = (
        backend.prepare(graph, weights, device="cpu", dtype="float64", numerics=numerics).predict(x)
        for numerics in ("strict", "default")
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_no_normalisation_by_running_statistics_is_left_in_a_resnet() -> None:
    graph = cnnspec.load("resnet18").graph
    before, after = (Counter(node.kind for node in g.nodes) for g in (graph, for_inference(graph).graph))
    assert before["batch_norm"] == 20
    assert before - after == {"batch_norm": 20}


def test_rewritten_arrays_follow_the_weights() -> None:
    graph = network("conv: {channels: 2, kernel: 3, norm: batch_norm}, sigmoid, flatten, dense: 2")
    default, strict = prepare(graph, "default"), prepare(graph, "strict")
    x = np.random.default_rng(2).normal(size=(4, 3, 8, 8))
    default.predict(x)
    for model in (default, strict):
        model.step(x, [0, 1, 0, 1])
    np.testing.assert_allclose(default.predict(x), strict.predict(x), rtol=1e-10)
    changed = {name: array * 1.5 for name, array in default.state().items()}
    for model in (default, strict):
        model.load(changed)
    np.testing.assert_allclose(default.predict(x), strict.predict(x), rtol=1e-10)
    assert default.state().keys() == graph.parameters.keys()


def test_recipes_compute_in_torch_too() -> None:
    torch = pytest.importorskip("torch")
    transposed = "conv_transpose: {channels: 6, kernel: 3, groups: 3, bias: false}"
    graph = network(f"{transposed}, batch_norm, sigmoid, {CONV}, sigmoid, flatten, dense: 2")
    weights = random_weights(graph)
    recipes = with_rescaled_activations(for_inference(graph)).recipes
    assert len(recipes) == 6
    for recipe in recipes.values():
        expected = recipe.compute(weights.__getitem__)
        found = recipe.compute(lambda name: torch.from_numpy(weights[name]))
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14 * np.abs(expected).max())


@pytest.mark.parametrize("kind", [kind for kind, cls in LAYERS.items() if cls.takes_maximum])
def test_a_maximum_commutes_with_what_never_decreases(kind: str) -> None:
    case = next(case for case in CASES if case.kind == kind)
    model = backend.prepare(case.graph(), case.weights(), device="cpu", dtype="float64")
    x = case.x()
    for f in (np.exp, np.floor, np.cbrt):
        np.testing.assert_array_equal(model.predict(f(x)), f(model.predict(x)))


def test_a_wrong_option_is_an_error() -> None:
    with pytest.raises(BackendError, match="the option `numerics` is strict, default or fast, not 'exact'"):
        prepare(network("relu"), "exact")
