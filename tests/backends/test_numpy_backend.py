"""The NumPy backend's own promises; the conformance kit holds its values to the definitions."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from cnnspec_numpy import backend
from cnnspec_numpy.kernels import KERNELS, attention, correlation
from cnnspec_numpy.kernels.erf import erf

import cnnspec
from cnnspec.arrays import Array
from cnnspec.errors import BackendError, InputError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Adam, AdamW, CrossEntropy, MeanSquaredError, Sgd, Step, Train
from cnnspec.layers import LAYERS, Layer, Shape
from cnnspec.layers.activation import Activation
from cnnspec.layers.base import Elementwise
from cnnspec.layers.dense import Dense
from cnnspec.rng import dropout_mask
from cnnspec.runtime.model import Model

IMAGE, VECTOR = (4, 5, 6), (5,)
BROADCAST = ("subtract", "divide", "maximum", "minimum", "mean")
POSITIVE_ALONE = {"log", "sqrt"}
"""Functions that are not defined for all numbers of a batch."""

ROWS: list[tuple[Shape, str]] = [
    (IMAGE, "conv: {channels: 2, kernel: [3, 2], stride: [2, 1], padding: 3, dilation: [1, 2], groups: 2, flip: true}"),
    (IMAGE, "conv: {channels: 4, kernel: 3, stride: 2, padding: same, groups: 4, bias: false}"),
    ((4, 6, 6), "conv: {channels: 2, kernel: 1, groups: 2}"),
    (IMAGE, "conv_transpose: {channels: 4, kernel: 3, stride: 2, padding: 3, output_padding: 1, groups: 2}"),
    ((4, 6, 6), "conv_transpose: {channels: 2, kernel: 1}"),
    ((2, 3, 3), "conv_transpose: {channels: 2, kernel: 2, dilation: 3, output_padding: 2, groups: 2}"),
    (VECTOR, "dense: 3"),
    (IMAGE, "max_pool: {kernel: 3, stride: 2, padding: {top: 1, right: 2}, rounding: ceil}"),
    (IMAGE, "avg_pool: {kernel: 3, stride: 2, padding: 3, rounding: ceil, count_padding: false}"),
    (IMAGE, "avg_pool: {kernel: [2, 3], stride: 2, padding: 1, rounding: ceil}"),
    (IMAGE, "global_avg_pool"),
    (IMAGE, "global_max_pool"),
    (IMAGE, "adaptive_avg_pool: [3, 4]"),
    (IMAGE, "flatten"),
    (IMAGE, "batch_norm"),
    (VECTOR, "batch_norm"),
    (IMAGE, "layer_norm"),
    (IMAGE, "layer_norm: {axes: all}"),
    (IMAGE, "group_norm: 2"),
    ((6, 2, 3), "local_response_norm: {size: 4, alpha: 0.5}"),
    (IMAGE, "layer_norm: {axes: [channels, width]}"),
    (IMAGE, "rms_norm: {axes: [height, width]}"),
    (IMAGE, "instance_norm"),
    (IMAGE, "instance_norm: {affine: false}"),
    (IMAGE, "dropout: 0.5"),
    (IMAGE, "spatial_dropout: 0.5"),
    (IMAGE, "stochastic_depth: 0.5"),
    (IMAGE, "upsample: 2"),
    (IMAGE, "upsample: {scale: [3, 2], mode: bilinear}"),
    (IMAGE, "pad: {padding: 3, value: 1.5}"),
    (IMAGE, "pad: {padding: 3, mode: reflect}"),
    (IMAGE, "pad: {padding: 3, mode: edge}"),
    (IMAGE, "crop: [2, 3]"),
    (IMAGE, "channel_shuffle: 2"),
    (IMAGE, "slice: [1, 3]"),
    (IMAGE, "slice: {height: [1, 4, 2], width: [0, 2]}"),
    (IMAGE, "scale: 0.5"),
    (IMAGE, "shift: 0.5"),
    (IMAGE, "shift: {value: 0.5, learn: false}"),
    *[(IMAGE, f"reduce: {{axes: [channels, width], mode: {mode}}}") for mode in ("mean", "sum", "max", "min")],
    (IMAGE, "scale: {value: 0.5, learn: false}"),
    (IMAGE, "prelu"),
    (VECTOR, "prelu: {shared: true}"),
    (IMAGE, "leaky_relu: 0.2"),
    (IMAGE, "elu: 1.5"),
    (IMAGE, "gelu: tanh"),
    (IMAGE, "softplus: 2.0"),
    *[(IMAGE, kind) for kind in ("relu", "relu6", "selu", "gelu", "silu", "mish", "sigmoid", "hard_sigmoid", "tanh")],
    *[(IMAGE, kind) for kind in ("hard_swish", "softmax", "log_softmax", "softmax: width", "log_softmax: height")],
    *[(IMAGE, kind) for kind in ("hard_tanh", "thresholded_relu", "celu", "softsign", "log_sigmoid", "abs", "exp")],
    (IMAGE, "clip: {min: -0.5, max: 1}"),
    (IMAGE, "hard_sigmoid: {slope: 0.2}"),
    (IMAGE, "power: 3"),
    (IMAGE, "add: {a: [], b: [relu], c: []}"),
    (IMAGE, "multiply: {a: [], b: [scale], gate: [global_avg_pool], position: [slice: [0, 1]]}"),
    *[(IMAGE, f"{kind}: {{a: [], b: [exp], gate: [global_avg_pool, exp]}}") for kind in BROADCAST],
    (IMAGE, "matmul: {a: [], b: [pad: {padding: {bottom: 1}}, crop: [6, 3]]}"),
    (IMAGE, "concat: {a: [], b: [slice: [1, 3]]}"),
    (IMAGE, "concat: {axis: width, a: [], b: [slice: {width: [1, 3]}]}"),
    (IMAGE, "reshape: [-1, 2, 2]"),
    (IMAGE, "permute: [width, channels, height]"),
    (IMAGE, "depth_to_space: 2"),
    ((2, 4, 6), "space_to_depth: [2, 3]"),
    (IMAGE, "adaptive_max_pool: [2, 3]"),
    (IMAGE, "conv: {channels: 2, kernel: 3, padding: same, padding_mode: reflect}"),
    (IMAGE, "pad: {padding: 5, mode: circular}"),
    (IMAGE, "lp_pool: {kernel: 2, stride: 1, p: 3, dilation: 2}"),
    (IMAGE, "resize: {scale: 0.7, mode: bicubic}"),
    (IMAGE, "resize: [3, 9]"),
    (IMAGE, "attention: 2"),
    (IMAGE, "position_embedding"),
]

rows = pytest.mark.parametrize(("shape", "layer"), ROWS, ids=[layer for _, layer in ROWS])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(shape: Shape, *layers: str) -> Graph:
    lines = "\n".join(f"  - {layer}" for layer in layers)
    return cnnspec.loads(f"cnnspec: 1\ninput: {list(shape)}\nlayers:\n{lines}\n").graph


def model(graph: Graph, dtype: str = "float64") -> Model:
    rng = np.random.default_rng(1)
    weights = {name: rng.uniform(0.3, 1.2, p.shape) for name, p in graph.parameters.items()}
    return backend.prepare(graph, weights, device="cpu", dtype=dtype)


def batch(graph: Graph, n: int = 2) -> Array:
    return np.random.default_rng(2).normal(0, 2, (n, *graph.input.shape))


def difference(f: Callable[[], float], a: Array) -> Array:
    """The central difference of f by every number of a, which f reads."""
    found, h = np.empty_like(a), 1e-5
    for i in np.ndindex(a.shape):
        kept = a[i]
        a[i] = kept + h
        above = f()
        a[i] = kept - h
        found[i] = (above - f()) / (2 * h)
        a[i] = kept
    return found


def assert_gradients(found: dict[str, Array], m: Model, f: Callable[[], float]) -> None:
    trainable = {name for name, p in m.graph.parameters.items() if p.trainable}
    assert set(found) == trainable
    for name in trainable:
        state = m.state()

        def moved(state: dict[str, Array] = state) -> float:
            m.load(state)
            return f()

        np.testing.assert_allclose(found[name], difference(moved, state[name]), rtol=1e-6, atol=1e-7, err_msg=name)
        m.load(state)


# Kernels


def test_every_layer_has_a_kernel_and_a_row() -> None:
    assert set(KERNELS) == set(LAYERS)
    assert {layer.split(":")[0] for _, layer in ROWS} == set(LAYERS) - POSITIVE_ALONE


@rows
def test_gradients_are_the_differences(shape: Shape, layer: str) -> None:
    m = model(network(shape, layer))
    x = batch(m.graph)
    dy = np.random.default_rng(3).normal(size=(len(x), *m.graph.output.shape))
    dx, gradients = m.vjp(x, dy)
    np.testing.assert_allclose(dx, difference(lambda: float((m.predict(x) * dy).sum()), x), rtol=1e-6, atol=1e-7)
    assert_gradients(gradients, m, lambda: float((m.predict(x) * dy).sum()))


@pytest.mark.parametrize(
    "layers",
    [
        ("conv: {channels: 3, kernel: 2}", "batch_norm", "relu"),
        ("scale", "dropout: 0.5", "prelu", "dropout: 0.3"),
        ("pad: 2", "scale", "conv_transpose: {channels: 2, kernel: 2}", "tanh"),
    ],
    ids=lambda layers: layers[1],
)
def test_gradients_of_training_are_the_differences(layers: tuple[str, ...]) -> None:
    m = model(network((2, 3, 4), *layers))
    m.begin_training(Train(loss=MeanSquaredError(), seed=5), 10)
    x = batch(m.graph)
    target = np.random.default_rng(3).normal(size=(len(x), *m.graph.output.shape))
    _, gradients = m.loss_and_gradients(x, target)
    assert_gradients(gradients, m, lambda: m.loss_and_gradients(x, target)[0])


@rows
@dtypes
def test_the_dtype_is_kept(shape: Shape, layer: str, dtype: str) -> None:
    m = model(network(shape, layer), dtype)
    m.begin_training(Train(loss=MeanSquaredError(), optimizer=Adam(weight_decay=0.1)), 1)
    x = batch(m.graph)
    dx, gradients = m.vjp(x, m.predict(x))
    loss = m.step(x, m.predict(x))
    _, trained = m.loss_and_gradients(x, m.predict(x))
    arrays = [*m.trace(x).values(), dx, *gradients.values(), *trained.values(), *m.state().values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert type(loss) is float


@pytest.fixture
def tiny_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "WORKSPACE", 600)


@pytest.mark.parametrize("layer", [layer for _, layer in ROWS if layer.startswith("conv")])
def test_tiles_change_nothing(layer: str, request: pytest.FixtureRequest) -> None:
    m = model(network((4, 9, 9), layer))
    x = batch(m.graph, 3)
    y, whole = m.predict(x), m.vjp(x, m.predict(x))
    request.getfixturevalue("tiny_workspace")
    np.testing.assert_allclose(m.predict(x), y, rtol=1e-12, atol=1e-12)
    dx, gradients = m.vjp(x, y)
    np.testing.assert_allclose(dx, whole[0], rtol=1e-12, atol=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, whole[1][name], rtol=1e-12)


@pytest.mark.parametrize("layer", ["max_pool: {kernel: 2, stride: 1}", "global_max_pool"])
def test_of_equal_numbers_the_first_gets_the_gradient(layer: str) -> None:
    m = model(network((1, 2, 2), layer))
    dx, _ = m.vjp(np.full((1, 1, 2, 2), 3.0), np.ones((1, *m.graph.output.shape)))
    np.testing.assert_array_equal(dx[0, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    "layer",
    [
        layer
        for _, layer in ROWS
        if issubclass(LAYERS[layer.split(":")[0]], Activation) and layer not in ("exp", "power: 3")
    ],
)
@dtypes
def test_extreme_numbers_neither_warn_nor_break(layer: str, dtype: str) -> None:
    m = model(network((1, 3, 4), layer), dtype)
    large = 1e38 if dtype == "float32" else 1e307
    x = np.array([-large, -1e4, -800, -89, -20, -1e-30, 0, 1e-30, 20, 89, 800, large]).reshape(1, 1, 3, 4)
    y = m.predict(x)
    dx, _ = m.vjp(x, np.ones_like(y))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_softmax_over_extreme_numbers() -> None:
    x = np.array([[-1e308, 0.0, 1e308]])
    np.testing.assert_array_equal(model(network((3,), "softmax")).predict(x), [[0, 0, 1]])
    assert model(network((3,), "log_softmax")).predict(x)[0, 2] == 0


def test_erf_is_that_of_the_standard_library() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20_001), [0.46875, -0.46875, 1e-300, 1e300]])
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=1e-15)
    x = np.linspace(-7, 7, 2_001, dtype=np.float32)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=1e-6)
    assert erf(x).dtype == np.float32


# The model


def test_activations_are_freed_once_read() -> None:
    model(network((1, 2, 2), "relu")).predict(np.ones((1, 1, 2, 2)))  # imports what a plan takes
    m = model(network((1, 1024, 1024), *["relu"] * 12), "float32")
    x = np.ones((1, 1, 1024, 1024), np.float32)
    tracemalloc.start()
    m.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * x.nbytes


def test_columns_of_a_large_image_are_bounded() -> None:
    m = model(network((8, 256, 256), "conv: {channels: 1, kernel: 9, padding: same}"), "float32")
    x = np.ones((1, 8, 256, 256), np.float32)
    tracemalloc.start()
    m.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * x.nbytes + 2 * correlation.WORKSPACE < 81 * x.nbytes / 4


def test_the_output_is_never_the_input_itself() -> None:
    x = np.ones((1, 2, 2, 2))
    model(network((2, 2, 2), "dropout: 0.5", "flatten")).predict(x)[...] = 7
    assert (x == 1).all()


def test_an_unread_branch_has_a_gradient_of_zero() -> None:
    builder = GraphBuilder("g")
    builder.input((3,))
    for name in ("unread", "read"):
        builder.add(name, Dense(units=2), ["input"])
    m = model(builder.graph())
    _, gradients = m.vjp(np.ones((1, 3)), np.ones((1, 2)))
    assert not gradients["unread.weight"].any()
    assert gradients["read.weight"].all()


def test_batch_norm_runs_its_statistics_in_steps_alone() -> None:
    m = model(network((2, 2, 3), "batch_norm: {momentum: 0.25}", "flatten"))
    m.begin_training(Train(), 1)
    x, target, before = batch(m.graph, 3), np.array([0, 1, 2]), m.state()
    m.loss_and_gradients(x, target)
    np.testing.assert_array_equal(m.state()["batch_norm1.running_var"], before["batch_norm1.running_var"])
    m.step(x, target)
    for key, batch_value in (("running_mean", x.mean((0, 2, 3))), ("running_var", x.var((0, 2, 3), ddof=1))):
        expected = 0.75 * before[f"batch_norm1.{key}"] + 0.25 * batch_value
        np.testing.assert_allclose(m.state()[f"batch_norm1.{key}"], expected, rtol=1e-14)


def test_batch_norm_cannot_train_on_one_number() -> None:
    m = model(network((2,), "batch_norm"))
    m.begin_training(Train(), 1)
    with pytest.raises(InputError, match=r"`batch_norm1` .* batches of at least 2"):
        m.step(np.ones((1, 2)), np.array([0]))


def test_dropout_takes_the_mask_of_seed_and_step() -> None:
    m = model(network((50,), "scale: 1", "dropout: 0.5"))
    m.begin_training(Train(loss=MeanSquaredError(), seed=3), 1)
    x, zero = np.ones((4, 50)), np.zeros((4, 50))
    m.load({"scale1.weight": np.ones(50)})
    for step in range(2):
        m.load({"scale1.weight": np.ones(50)})
        kept = dropout_mask(3, step, "dropout1", (4, 50), 0.5)
        assert m.loss_and_gradients(x, zero)[0] == pytest.approx(4 * kept.mean())
        m.step(x, zero)
    m.load({"scale1.weight": np.ones(50)})
    np.testing.assert_array_equal(m.predict(x), x)


def test_training_goes_on_where_its_state_was_taken() -> None:
    graph = network((6,), "dense: 5", "batch_norm", "dropout: 0.2", "dense: 3")
    train = Train(optimizer=Adam(), schedule=Step(every=1))
    x, target = batch(graph, 8), np.arange(8) % 3
    straight, first, second = model(graph), model(graph), model(graph)
    for m in (straight, first, second):
        m.begin_training(train, 2)
    for _ in range(5):
        straight.step(x, target)
    for _ in range(2):
        first.step(x, target)
    second.load(first.state())
    second.load_training_state(first.training_state())
    for _ in range(3):
        second.step(x, target)
    for name, array in straight.state().items():
        np.testing.assert_array_equal(second.state()[name], array)


# Losses and optimizers


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    m = model(network((4,), "scale"))
    m.load({"scale1.weight": np.ones(4)})
    m.begin_training(Train(loss=CrossEntropy(label_smoothing=smoothing)), 1)
    x, target = batch(m.graph, 5), np.array([0, 3, 1, 1, 2])
    y = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(y, torch.tensor(target), label_smoothing=smoothing)
    expected.backward()
    loss, gradients = m.loss_and_gradients(x, target)
    assert loss == pytest.approx(expected.item(), rel=1e-14)
    np.testing.assert_allclose(gradients["scale1.weight"], (y.grad.numpy() * x).sum(0), rtol=1e-12)


def test_cross_entropy_of_extreme_logits_is_finite() -> None:
    m = model(network((3,), "scale: {value: 1.0, learn: false}"))
    m.begin_training(Train(), 1)
    loss, _ = m.loss_and_gradients(np.array([[1e4, -1e4, 0.0]]), np.array([1]))
    assert loss == 2e4


@pytest.mark.parametrize(("shape", "said"), [((1, 4, 5), "1×4×5"), ((3, 1, 1), "3×1×1"), ((1,), "one number")])
def test_cross_entropy_needs_a_score_for_each_class(shape: tuple[int, ...], said: str) -> None:
    m = model(network(shape, "relu"))
    with pytest.raises(BackendError, match=f"cross-entropy needs a score for each class; the output is {said}"):
        m.begin_training(Train(), 1)


def test_the_first_steps_by_hand() -> None:
    # One weight w = 2, input 1, target 0: the gradient is 2w.
    def stepped(optimizer: Sgd | Adam, steps: int = 2) -> float:
        m = model(network((1,), "scale"))
        m.load({"scale1.weight": np.array([2.0])})
        m.begin_training(Train(loss=MeanSquaredError(), optimizer=optimizer), 1)
        for _ in range(steps):
            m.step([[1.0]], [[0.0]])
        return float(m.state()["scale1.weight"][0])

    # w 2 → 1.6 (v = 4); v = 0.5·4 + 3.2 = 5.2, w = 1.6 − 0.52
    assert stepped(Sgd(learning_rate=0.1, momentum=0.5)) == pytest.approx(1.08)
    # w 2 → 2 − 0.1·(4 + 0.5·4) = 1.4; v = 2 + 2.8 = 4.8, w = 1.4 − 0.1·(2.8 + 2.4)
    assert stepped(Sgd(learning_rate=0.1, momentum=0.5, nesterov=True)) == pytest.approx(0.88)
    assert stepped(Sgd(learning_rate=0.1, weight_decay=1.0), 1) == pytest.approx(2 - 0.1 * (4 + 2))
    # Adam's first step is the rate itself, whatever the gradient.
    assert stepped(Adam(learning_rate=0.1), 1) == pytest.approx(1.9)
    assert stepped(AdamW(learning_rate=0.1, weight_decay=0.5), 1) == pytest.approx(2 * 0.95 - 0.1)


@pytest.mark.parametrize(
    "optimizer",
    [
        Sgd(learning_rate=0.1),
        Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.01),
        Sgd(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        Adam(learning_rate=0.01, weight_decay=0.1),
        Adam(learning_rate=0.01, beta1=0.3, beta2=0.8, eps=1e-3),
        AdamW(learning_rate=0.01, weight_decay=0.1),
    ],
    ids=repr,
)
def test_optimizers_go_the_way_of_torch(optimizer: Sgd | Adam) -> None:
    torch = pytest.importorskip("torch")
    m = model(network((3,), "dense: 2"))
    m.begin_training(Train(loss=MeanSquaredError(), optimizer=optimizer), 1)
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in m.state().items()}
    rest = {"lr": optimizer.learning_rate, "weight_decay": optimizer.weight_decay}
    if isinstance(optimizer, Sgd):
        theirs = torch.optim.SGD(weights.values(), momentum=optimizer.momentum, nesterov=optimizer.nesterov, **rest)
    else:
        cls = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
        theirs = cls(weights.values(), betas=(optimizer.beta1, optimizer.beta2), eps=optimizer.eps, **rest)
    rng = np.random.default_rng(4)
    for _ in range(50):
        x, target = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
        theirs.zero_grad()
        y = torch.nn.functional.linear(torch.tensor(x), weights["dense1.weight"], weights["dense1.bias"])
        torch.nn.functional.mse_loss(y, torch.tensor(target)).backward()
        theirs.step()
        m.step(x, target)
    for name, array in m.state().items():
        np.testing.assert_allclose(array, weights[name].detach().numpy(), rtol=1e-12, atol=1e-13)


# What there is


def test_a_device_or_dtype_that_is_not_there_is_refused() -> None:
    graph = network((3,), "relu")
    with pytest.raises(BackendError, match="no device `cuda`: it has cpu"):
        backend.prepare(graph, {}, device="cuda", dtype="float32")
    with pytest.raises(BackendError, match="no dtype `float16`: it has float32, float64"):
        backend.prepare(graph, {}, device="cpu", dtype="float16")


class Square(Elementwise):
    kind = "square"
    monotone = False
    linear = False
    piecewise = False


class Cube(Square):
    kind = "cube"


def foreign(*layers: Layer) -> Graph:
    builder = GraphBuilder("foreign")
    last = builder.input((2,))
    for layer in layers:
        last = builder.add(f"{layer.kind}1", layer, [last.name])
    return builder.graph()


def test_kinds_without_a_kernel_are_listed() -> None:
    with pytest.raises(BackendError, match=r"no kernel for `square`, `cube`: .* `cnnspec_numpy.kernels`"):
        backend.prepare(foreign(Square(), Cube()), {}, device="cpu", dtype="float32")


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("site")
    (folder / "foreign_kernels.py").write_text(
        "def square(context, x):\n    return x * x, lambda dy: ((2 * x * dy,), {})\n"
    )
    (folder / "foreign_kernels-1.0.dist-info").mkdir()
    (folder / "foreign_kernels-1.0.dist-info" / "METADATA").write_text("Name: foreign-kernels\nVersion: 1.0\n")
    (folder / "foreign_kernels-1.0.dist-info" / "entry_points.txt").write_text(
        "[cnnspec_numpy.kernels]\nsquare = foreign_kernels:square\ncube = foreign_kernels:cube\n"
    )
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("package")
def test_a_package_adds_a_kernel() -> None:
    m = backend.prepare(foreign(Square()), {}, device="cpu", dtype="float64")
    np.testing.assert_array_equal(m.predict([[2.0, 3.0]]), [[4, 9]])
    np.testing.assert_array_equal(m.vjp([[2.0, 3.0]], [[1.0, 1.0]])[0], [[4, 6]])


@pytest.mark.usefixtures("package")
def test_a_broken_kernel_of_a_package_is_named() -> None:
    with pytest.raises(BackendError, match=r"the kernel of `cube`, foreign_kernels:cube, cannot be loaded"):
        backend.prepare(foreign(Cube()), {}, device="cpu", dtype="float32")


@pytest.mark.parametrize("rows", [1, 4])
def test_attention_in_blocks_of_some_positions_is_attention(monkeypatch, rows):
    graph = network(IMAGE, "attention: 2")
    x, dy = batch(graph), batch(graph)[::-1]
    whole = model(graph).vjp(x, dy)
    y = model(graph).predict(x)
    monkeypatch.setattr(attention, "WORKSPACE", rows * 2 * 30 * 8)
    dx, gradients = model(graph).vjp(x, dy)
    np.testing.assert_allclose(model(graph).predict(x), y, rtol=1e-12)
    np.testing.assert_allclose(dx, whole[0], rtol=1e-10, atol=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, whole[1][name], rtol=1e-10, atol=1e-12)
