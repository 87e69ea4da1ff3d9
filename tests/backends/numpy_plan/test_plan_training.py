"""Training by plans gives the losses, gradients, weights and state of the layer-by-layer model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cnnspec_numpy.training import calls, correlation, executor, maps
from cnnspec_numpy.training.kernel import Kernel
from cnnspec_numpy.training.table import class_of
from plan_comparison import (
    EXACT,
    NETWORKS,
    assert_same_training,
    batch,
    bundled,
    gradient_difference,
    network,
    prepare,
    targets,
    trained,
)

import cnnspec
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Adam, CrossEntropy, Loss, MeanSquaredError, Sgd, Step, Train
from cnnspec.layers.activation import Relu, Sigmoid
from cnnspec.layers.conv import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.merge import Add, Multiply
from cnnspec.layers.norm import BatchNorm, Scale
from cnnspec.layers.pool import MaxPool
from cnnspec.testing import CASES

GRAPHS = {case.name: case.graph for case in CASES}
GRAPHS |= {
    name: lambda shape=shape, layers=layers: network(layers, shape) for name, (shape, layers) in NETWORKS.items()
}

LEARNS: dict[str, tuple[tuple[int, ...], str]] = {
    "lenet-like": ((1, 12, 12), "conv: {channels: 3, kernel: 3}, sigmoid, max_pool: 2, conv: {channels: 4, kernel: 2}, "
                   "relu, avg_pool: 2, flatten, dense: 6, tanh, dense: 3"),
    "residual": ((2, 8, 8), "conv: {channels: 4, kernel: 3, padding: same, norm: batch_norm, activation: relu}, add: {"
                 "a: [conv: {channels: 4, kernel: 3, padding: same, norm: batch_norm}], b: []}, relu, "
                 "conv: {channels: 6, kernel: 3, stride: 2, padding: same, norm: batch_norm}, relu6, "
                 "global_avg_pool, dense: 3"),
    "inverted": ((4, 8, 7), "conv: {channels: 8, kernel: 1, bias: false}, batch_norm, relu6, conv: {channels: 8, "
                 "kernel: 3, groups: 8, padding: same}, batch_norm, conv: {channels: 4, kernel: 1}, "
                 "global_avg_pool, dense: 3"),
    "dense block": ((3, 6, 6), "concat: {a: [], b: [batch_norm, relu, conv: {channels: 2, kernel: 3, padding: same}]}, "
                    "concat: {a: [], b: [batch_norm, relu, conv: {channels: 2, kernel: 3, padding: same}]}, max_pool: {"
                    "kernel: 3, stride: 2, padding: same}, flatten, dense: 3"),
    "dropouts": ((2, 6, 6), "conv: {channels: 4, kernel: 3}, dropout: 0.3, relu, dropout: 0.2, flatten, dropout: 0.5, "
                 "dense: 5, relu, dropout: 0.5, dense: 3"),
    "bias behind a pool": ((2, 9, 9), "conv: {channels: 3, kernel: 2}, max_pool: 2, relu, conv: {channels: 4, "
                           "kernel: 3, stride: 2, padding: 2}, max_pool: 2, flatten, dense: 3"),
    "vector norm": ((5,), "dense: 6, batch_norm, leaky_relu: 0.1, dense: 3"),
    "towers": ((4, 6, 5), "add: {a: [slice: [0, 2], conv: {name: one, channels: 3, kernel: 2, norm: batch_norm, "
               "activation: prelu}], b: [slice: [2, 4], conv: {channels: 3, kernel: 2, norm: batch_norm, activation: "
               "prelu, share: one}]}, flatten, dense: 3"),
    "no parameters": ((4,), "relu"),
    "strides": ((3, 11, 10), "conv: {channels: 4, kernel: [3, 2], stride: [2, 3], padding: 1}, leaky_relu: 0.2, conv: {"
                "channels: 3, kernel: 2, stride: 2}, flatten, dense: 3"),
}  # fmt: skip

CONVOLUTIONS = [
    "kernel: 3, stride: 2, padding: same", "kernel: 3, stride: [3, 1], padding: 1", "kernel: [3, 1], stride: [1, 2]",
    "kernel: 2, stride: 3", "kernel: 3, dilation: 2, padding: same", "kernel: 3, dilation: [2, 1], stride: [1, 2]",
    "kernel: 3, dilation: [1, 3], stride: 2, padding: 4", "kernel: [3, 1], dilation: [2, 1], padding: same",
    "kernel: 2, padding: {top: 3, left: 1}", "kernel: 3, padding: {bottom: 3, right: 2}", "kernel: 1, padding: 3",
    "kernel: [1, 4], bias: false", "kernel: 1, stride: 2",
]  # fmt: skip
"""Windows over 6×7 images."""

SAME_SHAPE = [
    "relu", "relu6", "leaky_relu: 0.3", "leaky_relu: 0", "leaky_relu: 2.5", "leaky_relu: -0.5", "prelu",
    "prelu: {shared: true}", "elu", "elu: 0.7", "elu: -0.5", "selu", "gelu", "gelu: tanh", "silu", "mish", "sigmoid",
    "hard_sigmoid", "tanh", "hard_swish", "softplus: 2.0", "softmax", "log_softmax", "batch_norm", "layer_norm",
    "layer_norm: {axes: all}", "group_norm: 2", "local_response_norm: 3", "local_response_norm: {size: 4, alpha: 0.5}",
    "scale: 0.7", "scale: {value: 0.7, learn: false}", "dropout: 0.4", "channel_shuffle: 2",
    "pad: {padding: 2, value: 0.3}, crop: [5, 7]", "upsample: 2, avg_pool: 2", "slice: [1, 3]",
    "upsample: {scale: 2, mode: bilinear}, adaptive_avg_pool: [4, 5]",
    "multiply: {a: [], b: [global_avg_pool, dense: 4, hard_sigmoid], c: [adaptive_avg_pool: 1]}",
    "conv: {channels: 4, kernel: 3, groups: 4, padding: same}", "conv_transpose: {channels: 4, kernel: 2, stride: 2}",
]  # fmt: skip
"""Layers of images [4, 5, 7], each with an operation of its own."""

LOSSES: list[Loss] = [CrossEntropy(), CrossEntropy(label_smoothing=0.2), MeanSquaredError()]


def learns(name: str) -> Graph:
    shape, layers = LEARNS[name]
    return network(layers, shape)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shard have two samples, and a chunk at most two."""
    monkeypatch.setattr(executor, "LEAST", 2)
    monkeypatch.setattr(executor, "CHUNK_BYTES", 1)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_layer(name: str) -> None:
    graph = GRAPHS[name]()
    frozen = tuple(node.name for node in graph.nodes if node.frozen)
    train = Train(loss=MeanSquaredError(), seed=3, freeze=frozen)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 3, MeanSquaredError(), train=train)


@pytest.mark.parametrize("block", [1, 1 << 15])
@pytest.mark.parametrize("layer", SAME_SHAPE)
def test_layers_that_share_their_input(layer: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One writes the gradient of the input, the other adds to it; beside a border."""
    monkeypatch.setattr(calls, "BLOCK", block)
    branches = f"add: {{a: [{layer}], b: [{layer}, tanh]}}"
    border = "conv: {channels: 3, kernel: 3, padding: same}"
    graph = network(f"conv: {{channels: 4, kernel: 1}}, scale: {{value: 2.5, learn: false}}, {branches}, {border}",
                    (3, 5, 7))  # fmt: skip
    assert not any(class_of(node) is Kernel for node in graph.nodes if node.inputs)
    for threads in (1, 2):
        model = prepare(graph, threads=threads)
        assert_same_training(model, prepare(graph, "strict"), 16, MeanSquaredError())


SPECS = (Path(cnnspec.__file__).parents[1] / "specs").glob("*.yaml")
ZOO = sorted(
    path.stem for path in SPECS if all(len(node.shape) in (1, 3) for node in cnnspec.load(path.stem).graph.nodes)
)
"""Networks with a sequence or a volume in them train without a plan."""
SELDOM = {"reshape", "subtract", "abs", "attention", "position_embedding"}
"""Kinds that few networks have, which train by their kernels."""


@pytest.mark.parametrize("name", ZOO)
def test_no_layer_of_a_bundled_network_is_left_to_its_kernel(name: str) -> None:
    graph = cnnspec.load(name).graph
    assert {node.kind for node in graph.nodes if node.inputs and class_of(node) is Kernel} <= SELDOM


def test_dropout_draws_what_the_kernel_draws() -> None:
    """For batches of several sizes, into the same memory, in both data types."""
    for dtype in ("float32", "float64"):
        graph = network("dense: 6, dropout: 0.3, dense: 5, dropout: 0.6", (4,))
        models = [prepare(graph, kind, dtype) for kind in ("default", "strict")]
        for model in models:
            model.begin_training(Train(loss=MeanSquaredError(), seed=5), 1)
        for n in (4, 7, 3, 7):
            x, target = batch(graph, n)["input"].astype(dtype), targets(graph, MeanSquaredError(), n).astype(dtype)
            for model in models:
                model.step(x, target)
            zeros = [model.outputs == 0 for model in models]
            assert zeros[0].any()
            np.testing.assert_array_equal(*zeros)


VECTORS = [layer for layer in SAME_SHAPE if "{" not in layer and "," not in layer and layer.split(":")[0] not in (
    "group_norm", "local_response_norm", "upsample", "slice", "channel_shuffle")]  # fmt: skip


@pytest.mark.parametrize("layer", [*VECTORS, "layer_norm: {axes: all}"])
def test_layers_of_vectors(layer: str) -> None:
    graph = network(f"dense: 6, add: {{a: [{layer}], b: [{layer}, tanh]}}, dense: 3", (5,))
    assert not any(class_of(node) is Kernel for node in graph.nodes if node.inputs)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 4, CrossEntropy())


@pytest.mark.parametrize("size", [1, 1 << 17])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
@pytest.mark.parametrize("fields", CONVOLUTIONS)
def test_convolutions(fields: str, kind: str, groups: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between layers that are trained and ask for borders of their own, in one block of rows or in one for each."""
    monkeypatch.setattr(maps, "CACHE", size)
    layer = f"{kind}: {{channels: {8 if groups == 2 else 4}, groups: {groups}, {fields}}}"
    graph = network(f"conv: {{channels: 4, kernel: 3, padding: same}}, add: {{a: [{layer}], b: [{layer}]}}, conv: "
                    "{channels: 2, kernel: [3, 2], padding: same}", (3, 6, 7))  # fmt: skip
    assert not any(class_of(node) is Kernel for node in graph.nodes if node.inputs)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 3, MeanSquaredError())


@pytest.mark.parametrize("size", [1, 1 << 17])
@pytest.mark.parametrize("seconds", [0.0, math.inf], ids=["by rows", "by columns"])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
@pytest.mark.parametrize("fields", [fields for fields in CONVOLUTIONS if "stride" not in fields])
def test_ways_back_through_windows(
    fields: str, kind: str, seconds: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of windows that move by one, products of whole rows, or of the columns under them, give the same gradients."""
    monkeypatch.setattr(maps, "CACHE", size)
    monkeypatch.setattr(correlation.Rows, "cost", seconds)
    layer = f"{kind}: {{channels: 4, {fields}}}"
    graph = network(f"conv: {{channels: 3, kernel: 1}}, add: {{a: [{layer}], b: [{layer}]}}, {layer}", (3, 10, 11))
    assert_same_training(prepare(graph), prepare(graph, "strict"), 3, MeanSquaredError())


@pytest.mark.parametrize("case", [case for case in CASES if case.train], ids=str)
def test_cases_of_training(case) -> None:  # type: ignore[no-untyped-def]
    train = case.loaded().train
    models = (prepare(case.graph(), numerics, weights=case.weights()) for numerics in ("default", "strict"))
    assert_same_training(*models, 4, train.loss, train=train)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("name", LEARNS)
def test_networks(name: str, loss: Loss) -> None:
    graph = learns(name)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 4, loss)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["residual", "dropouts", "lenet-like", "towers"])
@pytest.mark.usefixtures("small_shards")
def test_shards_and_chunks(name: str, threads: int) -> None:
    graph = learns(name)
    model, strict = prepare(graph, threads=threads), prepare(graph, "strict")
    for n in range(1, 10):
        assert_same_training(model, strict, n, CrossEntropy(label_smoothing=0.1))


def with_unread_reader() -> Graph:
    """A value whose last reader leads to no output."""
    builder = GraphBuilder("unread")
    x = builder.input((2, 6, 6)).name
    hidden = builder.add("hidden", Conv(channels=3, kernel=(3, 3)), [x]).name
    kept = builder.add("kept", Sigmoid(), [hidden]).name
    builder.add("unread", Conv(channels=2, kernel=(2, 2)), [hidden])
    builder.add("unread too", Relu(), ["unread"])
    return builder.graph([kept])


def with_several_readers() -> Graph:
    """A value that three layers read, one of them twice."""
    builder = GraphBuilder("readers")
    x = builder.input((5,)).name
    hidden = builder.add("hidden", Dense(units=4), [x]).name
    a = builder.add("a", Relu(), [hidden]).name
    b = builder.add("b", Multiply(), [hidden, hidden]).name
    c = builder.add("c", Dense(units=4), [hidden]).name
    return (builder.add("sum", Add(), [a, b, c, hidden]) and builder).graph()


def with_output_that_is_read() -> Graph:
    """An output behind which the network goes on."""
    builder = GraphBuilder("output")
    x = builder.input((2, 5, 5)).name
    hidden = builder.add("hidden", Conv(channels=3, kernel=(3, 3)), [x]).name
    out = builder.add("out", Relu(), [hidden]).name
    builder.add("beyond", Conv(channels=2, kernel=(3, 3), padding="same"), [out])
    builder.add("sum", Add(), [out, hidden])
    return builder.graph([out])


def with_untrained_output_that_is_read() -> Graph:
    """An output that depends on no parameter, and that a convolution with padding reads."""
    builder = GraphBuilder("untrained")
    x = builder.input((2, 5, 5)).name
    out = builder.add("out", Relu(), [x]).name
    builder.add("beyond", Conv(channels=2, kernel=(3, 3), padding="same"), [out])
    return builder.graph([out])


def with_shared_arrays(last_is_read: bool = True) -> Graph:
    """Layers that share their arrays; the last of them is read, or is not."""
    builder = GraphBuilder("shared")
    last = builder.input((3,)).name
    for i in range(3):
        arrays = {"weight": "dense0.weight", "bias": "dense0.bias"} if i else {}
        last = builder.add(f"dense{i}", Dense(units=3), [last], arrays=arrays).name
        norm = {key: f"norm0.{key}" for key in ("weight", "bias", "running_mean", "running_var")} if i else {}
        last = builder.add(f"norm{i}", BatchNorm(), [last], arrays=norm).name
    return builder.graph([last if last_is_read else "norm1"])


def with_shared_convolutions() -> Graph:
    """Convolutions that share a bias, which one of them leaves to a pool."""
    builder = GraphBuilder("convolutions")
    x = builder.input((3, 8, 8)).name
    first = builder.add("first", Conv(channels=3, kernel=(3, 3), padding="same"), [x]).name
    pool = builder.add("pool", MaxPool(kernel=(2, 2)), [first]).name
    arrays = {"weight": "first.weight", "bias": "first.bias"}
    second = builder.add("second", Conv(channels=3, kernel=(3, 3)), [pool], arrays=arrays).name
    return (builder.add("last", Relu(), [second]) and builder).graph()


def with_one_array_twice() -> Graph:
    """A layer whose weight and bias are one array."""
    builder = GraphBuilder("twice")
    x = builder.input((3, 4, 4)).name
    arrays = {"weight": "norm.weight", "bias": "norm.weight"}
    builder.add("norm", BatchNorm(), [x], arrays=arrays)
    return builder.graph()


def with_parameters_at_the_input() -> Graph:
    """Nothing but an affine layer, whose input needs no gradient."""
    builder = GraphBuilder("scale")
    x = builder.input((4,)).name
    return (builder.add("scale", Scale(), [x]) and builder).graph()


BUILT = [
    with_unread_reader,
    with_several_readers,
    with_output_that_is_read,
    with_untrained_output_that_is_read,
    with_shared_arrays,
    lambda: with_shared_arrays(last_is_read=False),
    with_shared_convolutions,
    with_one_array_twice,
    with_parameters_at_the_input,
]


@pytest.mark.parametrize("built", BUILT, ids=lambda built: built.__name__.strip("<>"))
def test_graphs_that_no_text_describes(built) -> None:  # type: ignore[no-untyped-def]
    graph = built()
    model, strict = prepare(graph), prepare(graph, "strict")
    for n in (2, 5):
        assert_same_training(model, strict, n, MeanSquaredError())


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("name", LEARNS)
def test_blocks(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution divides its output into blocks that stay in the cache."""
    monkeypatch.setattr(maps, "CACHE", size)
    graph = learns(name)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 3, CrossEntropy())


# Bundled networks, in both data types

SIZES: dict[str, int | None] = {
    "lenet": None,
    "resnet20": 16,
    "mobilenet_v2": 64,
    "densenet121": 64,
    "separable28": None,
    "efficientnet_b0": 64,
    "shufflenet_v2_x1_0": 64,
    "resnext50_32x4d": 64,
    "convnext_tiny": 64,
    "googlenet_2014": 80,
}


@pytest.mark.parametrize("name", SIZES)
def test_bundled_networks(name: str) -> None:
    """From their initial weights and in small steps, so that rounding is not amplified."""
    graph = bundled(name, SIZES[name])
    weights = cnnspec.build(graph, "numpy", dtype="float64").state()
    train = Train(loss=CrossEntropy(label_smoothing=0.1), optimizer=Sgd(learning_rate=1e-3, momentum=0.9))
    model, strict = prepare(graph, weights=weights), prepare(graph, "strict", weights=weights)
    assert_same_training(model, strict, 3, train.loss, train=train)


FLOAT32 = 1e-5
"""In float32, relative to the largest gradient, where up to 1e-6 was measured."""


@pytest.mark.parametrize("name", ["lenet", "resnet20", "separable28"])
def test_float32(name: str) -> None:
    """A rounded number on the other side of a ReLU's zero can move a gradient further, in either model."""
    graph = bundled(name, SIZES[name])
    exact, _ = trained(prepare(graph, "strict"), 8, CrossEntropy(), steps=1)
    strict, _ = trained(prepare(graph, "strict", "float32"), 8, CrossEntropy(), steps=1)
    found, _ = trained(prepare(graph, "default", "float32"), 8, CrossEntropy(), steps=1)
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    assert gradient_difference(found, exact) <= max(FLOAT32, 4 * gradient_difference(strict, exact))


@pytest.mark.parametrize("layer", SAME_SHAPE)
def test_float32_of_layers(layer: str) -> None:
    graph = network(f"conv: {{channels: 4, kernel: 1}}, {layer}, conv: {{channels: 2, kernel: 3}}", (3, 5, 7))
    exact, _ = trained(prepare(graph, "strict"), 8, MeanSquaredError(), steps=1)
    found, _ = trained(prepare(graph, "default", "float32"), 8, MeanSquaredError(), steps=1)
    assert gradient_difference(found, exact) <= FLOAT32


# Repeated, interrupted


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["residual", "dropouts"])
@pytest.mark.usefixtures("small_shards")
def test_the_same_threads_give_the_same_bits(name: str, threads: int) -> None:
    graph = learns(name)
    first, second = (trained(prepare(graph, threads=threads), 9, CrossEntropy(), steps=3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for key, array in one.items():
            np.testing.assert_array_equal(other[key], array, err_msg=key)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("small_shards")
def test_training_goes_on_where_its_state_was_taken(threads: int) -> None:
    graph = learns("residual")
    train = Train(optimizer=Adam(), schedule=Step(every=1))
    straight, first, second = (prepare(graph, threads=threads) for _ in range(3))
    for model in (straight, first, second):
        model.begin_training(train, 2)
    data = [(batch(graph, n, n)["input"], targets(graph, train.loss, n)) for n in (4, 5, 4, 7, 4)]
    for x, target in data:
        straight.step(x, target)
    for x, target in data[:2]:
        first.step(x, target)
    second.load(first.state())
    second.load_training_state(first.training_state())
    for x, target in data[2:]:
        second.step(x, target)
    for name, array in straight.state().items():
        np.testing.assert_array_equal(second.state()[name], array, err_msg=name)


@pytest.mark.parametrize(
    "optimizer", [Sgd(momentum=0.9, nesterov=True, weight_decay=0.01), Adam(weight_decay=0.1)], ids=repr
)
def test_optimizers(optimizer: Sgd | Adam) -> None:
    graph = learns("residual")
    train = Train(loss=CrossEntropy(), optimizer=optimizer)
    assert_same_training(prepare(graph), prepare(graph, "strict"), 4, train.loss, train=train)


def test_inputs_and_targets_are_not_written_to() -> None:
    graph = network("relu, dense: 3", (4,))
    model = prepare(graph)
    for loss in LOSSES:
        model.begin_training(Train(loss=loss), 1)
        x, target = batch(graph, 4)["input"], targets(graph, loss, 4)
        kept = x.copy(), target.copy()
        model.step(x, target)
        output = model.outputs.copy()
        model.step(x + 1, target)
        np.testing.assert_array_equal(x, kept[0])
        np.testing.assert_array_equal(target, kept[1])
        assert not np.array_equal(model.outputs, output)


def test_outputs_and_gradients_are_kept_when_the_next_step_is_made() -> None:
    graph = learns("lenet-like")
    model = prepare(graph)
    x, target = batch(graph, 4)["input"], targets(graph, CrossEntropy(), 4)
    _, gradients = model.loss_and_gradients(x, target)
    model.step(x, target)
    output = model.outputs
    kept = {name: array.copy() for name, array in gradients.items()}, output.copy()
    model.step(2 * x, target)
    np.testing.assert_array_equal(output, kept[1])
    for name, array in gradients.items():
        np.testing.assert_array_equal(array, kept[0][name])


def test_a_model_trains_between_predictions() -> None:
    graph = learns("residual")
    model, strict = prepare(graph), prepare(graph, "strict")
    x, target = batch(graph, 6)["input"], targets(graph, CrossEntropy(), 6)
    for _ in range(3):
        found, expected = ([m.predict(x), m.step(x, target)] for m in (model, strict))
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=EXACT)
        assert found[1] == pytest.approx(expected[1], rel=EXACT)
