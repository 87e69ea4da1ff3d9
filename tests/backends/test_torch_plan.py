"""Torch's fast paths compute what the layers do one by one: the plan of inference, the rewritten graph of training."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import BackendError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.training import Adam, MeanSquaredError, Train
from cnnspec.layers.activation import Relu, Sigmoid
from cnnspec.layers.conv import Conv
from cnnspec.layers.pool import MaxPool
from cnnspec.layers.shape import Slice
from cnnspec.testing import CASES

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install cnnspec[torch]")

ZOO = [
    ("lenet", None), ("lenet5", None), ("mlp", None), ("allconv28", None), ("separable28", None), ("resnet20", None),
    ("nin", None), ("vgg11", 32), ("alexnet", 64), ("resnet18", 64), ("resnext50_32x4d", 32), ("mobilenet_v2", 64),
    ("squeezenet1_1", 64), ("googlenet", 64), ("densenet121", 32), ("shufflenet_v2_x1_0", 64),
    ("efficientnet_b0", 64), ("convnext_tiny", 32), ("unet_padded", 32),
]  # fmt: skip

UNITS = """
input: [3, 17, 14]
layers:
  - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}
  - add:
      main:
        - conv: {channels: 8, kernel: [3, 2], padding: same, norm: batch_norm, activation: relu6}
        - conv: {channels: 8, kernel: 3, padding: same, groups: 4, norm: batch_norm}
      skip: []
  - sigmoid
  - max_pool: {kernel: 3, stride: 2, padding: 2}
  - conv: {channels: 12, kernel: 3, stride: 2, dilation: 2, padding: {top: 2, left: 1, bottom: 0, right: 3}}
  - leaky_relu
  - max_pool: 2
  - flatten
  - dropout: 0.25
  - dense: 5
"""


def random_weights(graph, seed=0):
    """Weights that keep the size of what flows through, and statistics that are not those of the start."""
    rng = np.random.default_rng(seed)

    def draw(name, shape):
        if name.endswith("running_var"):
            return rng.uniform(0.5, 2, shape)
        if len(shape) > 1:
            return rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        return (1 if name.endswith("weight") else 0) + rng.normal(0, 0.2, shape)

    return {name: draw(name, p.shape) for name, p in graph.parameters.items()}


def fast_and_strict(graph, dtype="float32", **options):
    weights = random_weights(graph)
    return [
        cnnspec.build(graph, "torch", weights=weights, dtype=dtype, numerics=numerics, **options)
        for numerics in ("default", "strict")
    ]


def batch(graph, n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *graph.input.shape)).astype(np.float32)


def assert_close(actual, expected, rel=1e-5):
    scale = np.abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rel * scale)


def assert_same_outputs(graph, sizes=(1, 3), **options):
    fast, strict = fast_and_strict(graph, **options)
    for n in sizes:
        x = batch(graph, n)
        given = x.copy()
        assert_close(fast.predict(x), strict.predict(x))
        assert np.array_equal(x, given)


# Inference


@pytest.mark.parametrize(("name", "size"), ZOO)
def test_bundled_networks(name, size):
    spec = cnnspec.load(name)
    assert_same_outputs(cnnspec.load(name, input_shape=(spec.input.shape[0], size, size)).graph if size else spec.graph)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer(case):
    weights, x = case.weights(), case.x()
    for dtype, rel in (("float32", 2e-5), ("float64", 1e-12)):
        fast, strict = (
            cnnspec.build(case.graph(), "torch", weights=weights, dtype=dtype, numerics=numerics)
            for numerics in ("default", "strict")
        )
        assert_close(fast.predict(x), strict.predict(x), rel)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels_last", [None, False, True])
def test_batches_of_any_size(dtype, channels_last):
    for graph in (cnnspec.load("lenet").graph, cnnspec.loads(UNITS).graph):
        assert_same_outputs(graph, (*range(1, 10), 63, 64, 65), dtype=dtype, channels_last=channels_last)


def test_without_one_dnn(monkeypatch):
    monkeypatch.setattr("cnnspec_torch.plan.one_dnn_is_there", lambda: False)
    assert_same_outputs(cnnspec.loads(UNITS).graph)


@pytest.mark.parametrize(
    "activation", ["relu", "relu6", "leaky_relu", "sigmoid", "hard_sigmoid", "silu", "elu", "tanh"]
)
def test_nan_is_not_lost(activation):
    spec = f"input: [2, 6, 6]\nlayers: [conv: {{channels: 3, kernel: 3, activation: {activation}}}]"
    model = cnnspec.build(cnnspec.loads(spec), "torch")
    x = np.zeros((1, 2, 6, 6), np.float32)
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(model.predict(x)).sum() == 3


def test_an_activation_overwrites_nothing_that_is_read():
    """Neither an output, nor what a view shows, nor what another layer reads."""
    builder = GraphBuilder("views")
    x = builder.input((4, 8, 8)).name
    conv = builder.add("conv", Conv(channels=4, kernel=3), [x]).name
    builder.add("relu", Relu(), [conv])
    other = builder.add("other", Conv(channels=4, kernel=1), [conv]).name
    view = builder.add("slice", Slice(channels=(1, 3)), [other]).name
    builder.add("sigmoid", Sigmoid(), [view])
    corners = builder.add("corners", MaxPool(kernel=1, stride=2), [other]).name
    builder.add("relu2", Relu(), [corners])
    builder.add("relu3", Relu(), [x])
    graph = builder.graph(outputs=["conv", "relu", "sigmoid", "relu2", "relu3", "other"])
    fast, strict = fast_and_strict(graph)
    x = batch(graph, 2)
    given = x.copy()
    actual, expected = fast.run({"input": x}), strict.run({"input": x})
    for name, value in expected.items():
        assert_close(actual[name], value)
        assert not np.shares_memory(actual[name], x)
    assert np.array_equal(x, given)


def test_outputs_are_the_callers():
    fast, _ = fast_and_strict(cnnspec.load("lenet").graph)
    first = fast.predict(batch(fast.graph, 4))
    kept = first.copy()
    fast.predict(batch(fast.graph, 4, seed=1))
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(fast.predict(batch(fast.graph, 4)), kept)


def test_new_weights_are_used():
    fast, strict = fast_and_strict(cnnspec.loads(UNITS).graph)
    x, t = batch(fast.graph, 6), np.arange(6) % 5
    weights = [model.state() for model in (fast, strict)]
    for model, state in zip((fast, strict), weights, strict=True):
        model.predict(x)
        model.load({name: array * 1.25 for name, array in state.items()})
    assert_close(fast.predict(x), strict.predict(x))
    for model in (fast, strict):
        model.step(x, t)
    assert_close(fast.predict(x), strict.predict(x))


def test_a_hook_gets_the_layers_as_they_are():
    fast, strict = fast_and_strict(cnnspec.loads(UNITS).graph)
    x = batch(fast.graph, 2)
    actual, expected = fast.trace(x), strict.trace(x)
    assert [*actual] == [node.name for node in fast.graph.nodes]
    assert all(np.array_equal(actual[name], value) for name, value in expected.items())


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_weights_of_its_own(twin_of):
    fast, strict = fast_and_strict(cnnspec.loads(UNITS).graph)
    x = batch(fast.graph, 2)
    expected = fast.predict(x)
    twin = twin_of(fast)
    twin.load({name: array * 1.25 for name, array in twin.state().items()})
    strict.load(twin.state())
    assert_close(twin.predict(x), strict.predict(x))
    assert np.array_equal(fast.predict(x), expected)


def test_calls_at_the_same_time():
    fast, _ = fast_and_strict(cnnspec.loads(UNITS).graph)
    xs = [batch(fast.graph, n, seed=n) for n in range(1, 9)]
    expected = [cnnspec.build(fast.graph, "torch", weights=fast.state()).predict(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:  # the first calls also prepare the plan
        for actual in pool.map(lambda _: [fast.predict(x) for x in xs], range(8)):
            for y, wanted in zip(actual, expected, strict=True):
                assert_close(y, wanted)


# Training


@pytest.mark.parametrize(
    ("name", "size"), [("lenet", None), ("resnet18", 32), ("squeezenet1_1", 64), ("googlenet", 64)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_those_of_the_layers(name, size, dtype):
    spec = cnnspec.load(name)
    graph = cnnspec.load(name, input_shape=(spec.input.shape[0], size, size)).graph if size else spec.graph
    models = fast_and_strict(graph, dtype)
    x, t = batch(graph, 6), np.arange(6)
    (loss, gradients), (wanted, expected) = (model.loss_and_gradients(x, t) for model in models)
    rel = 1e-9 if dtype == "float64" else 1e-3
    assert loss == pytest.approx(wanted, rel=rel)
    for key, gradient in expected.items():
        assert_close(gradients[key], gradient, rel)


@pytest.mark.parametrize(
    "activation", ["relu", "relu6", "leaky_relu", "sigmoid", "hard_sigmoid", "tanh", "elu", "softplus"]
)
@pytest.mark.parametrize("pool", ["2", "{kernel: 3, stride: 2, padding: 1}", "{kernel: [3, 2], stride: 1}"])
def test_pooling_before_an_activation_has_the_same_gradients(activation, pool):
    """Also where elements of a window are equal: in the flat parts of a function, and in an image of one colour."""
    spec = f"""
input: [2, 9, 9]
layers:
  - conv: {{name: conv, channels: 3, kernel: 2}}
  - {activation}
  - max_pool: {pool}
"""
    graph = cnnspec.loads(spec).graph
    x = batch(graph, 5) * np.array([0, 1e-3, 1, 30, 1000]).reshape(-1, 1, 1, 1)
    fast, strict = fast_and_strict(graph, "float64")
    assert [node.kind for node in fast.training_module.graph.nodes][-2:] == ["max_pool", activation]
    for model in (fast, strict):
        model.begin_training(Train(loss=MeanSquaredError()), 1)
    target = batch(graph, 5)[:, :1, :1, :1] * np.ones(graph.output.shape)
    (loss, gradients), (wanted, expected) = (model.loss_and_gradients(x, target) for model in (fast, strict))
    assert loss == pytest.approx(wanted, rel=1e-12)
    for key, gradient in expected.items():
        assert_close(gradients[key], gradient, 1e-10)


def test_training_keeps_the_masks_of_dropout_and_the_running_statistics():
    graph = cnnspec.loads(UNITS).graph
    models = fast_and_strict(graph, "float64")
    assert models[0].training_module.graph != graph
    for model in models:
        model.begin_training(Train(optimizer=Adam(learning_rate=0.01)), 10)
    for i in range(4):
        x, t = batch(graph, 8, seed=i), np.arange(8) % 5
        losses = [model.step(x, t) for model in models]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    states = [model.state() for model in models]
    assert [*states[0]] == [*graph.parameters]
    for name, array in states[1].items():
        assert_close(states[0][name], array, 1e-7)


# The option `threads`


def test_threads_are_set_during_a_call_and_restored():
    graph = cnnspec.loads(UNITS).graph
    before = torch.get_num_threads()
    model = cnnspec.build(graph, "torch", threads=before + 1)
    seen = []
    model.run_with_hook(batch(graph, 1), lambda name, value: seen.append(torch.get_num_threads()))
    assert set(seen) == {before + 1}
    model.step(batch(graph, 2), [0, 1])
    with pytest.raises(ZeroDivisionError):
        model.run_with_hook(batch(graph, 1), lambda name, value: 1 / 0)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_threads_is_an_error(threads):
    with pytest.raises(BackendError, match="the option `threads` is a number of at least 1, not"):
        cnnspec.build("lenet", "torch", threads=threads)
