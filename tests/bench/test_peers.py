"""The peers that a benchmark compares with: plain torch modules and ONNX models of the same networks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.bench.options import Network, Peer, Workload
from cnnspec.bench.runners import runner_of
from cnnspec.errors import BackendError, CnnspecError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import (
    L1,
    Adam,
    AdamW,
    BinaryCrossEntropy,
    Clip,
    CrossEntropy,
    Dice,
    Huber,
    Lion,
    MeanSquaredError,
    RmsProp,
    Sgd,
    Train,
)
from cnnspec.layers import LAYERS
from cnnspec.layers.base import Elementwise
from cnnspec.layers.conv import Conv
from cnnspec.testing.cases import CASES
from cnnspec.testing.verification import difference
from cnnspec.weights.initial import initial

Run = Callable[[Graph, Arrays, Array], Array]

ZOO = {
    "lenet": (1, 28, 28),
    "resnet20": (3, 16, 16),
    "shufflenet_v2_x1_0": (3, 32, 32),
    "squeezenet1_1": (3, 32, 32),
    "efficientnet_b0": (3, 32, 32),
}
UNSUPPORTED = (
    "avg-pool-dilated", "max_pool-dilated-training", "lp-pool-one", "lp-pool-three", "lp-pool-ceil",
    "lp-pool-dilated", "lp-pool-sequence", "resize-nearest", "resize-linear-half-pixel-scale",
    "resize-linear-asymmetric", "resize-cubic-half-pixel-scale", "resize-cubic-asymmetric", "resize-half",
    "resize-floor", "resize-ceil", "resize-bicubic", "resize-sequence", "resize-volume-nearest",
    "resize-volume-cubic", "attention-no-output-bias",
)  # fmt: skip
"""What the names of cases begin with that torch.nn has nothing for."""


def run_torch(graph: Graph, arrays: Arrays, x: Array) -> Array:
    torch = pytest.importorskip("torch")
    from cnnspec.bench.torch_modules import to_modules

    with torch.inference_mode():
        return np.asarray(to_modules(graph, arrays).eval()(torch.from_numpy(x)).numpy())


def run_onnx(graph: Graph, arrays: Arrays, x: Array) -> Array:
    for module in ("onnx", "onnxruntime"):
        pytest.importorskip(module)
    return runner_of(Network(graph, arrays, Train(), "float32", 0, 1), Peer.against("onnxruntime")).forward(x)


PEERS = pytest.mark.parametrize("run", [run_torch, run_onnx])


def agrees(run: Run, graph: Graph, arrays: Arrays, x: Array, tolerance: float = 1e-5) -> None:
    x = x.astype(np.float32)
    assert difference(cnnspec.build(graph, weights=arrays).predict(x), run(graph, arrays, x)) < tolerance


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_in_every_variant(case: Any) -> None:
    """Of PyTorch's modules; those of ONNX are in tests/interop/onnx_export."""
    if case.name.startswith(UNSUPPORTED):
        with pytest.raises(BackendError, match=r"torch.nn has no"):
            run_torch(case.graph(), case.weights(), case.x().astype(np.float32))
        return
    agrees(run_torch, case.graph(), case.weights(), case.x())


@PEERS
@pytest.mark.parametrize("name", ZOO)
def test_bundled_networks(run: Run, name: str) -> None:
    graph = cnnspec.load(name, input_shape=ZOO[name]).graph
    agrees(run, graph, initial(graph, 0), np.random.default_rng(0).standard_normal((2, *ZOO[name])), 1e-4)


@PEERS
@pytest.mark.parametrize("seed", range(8))
def test_random_networks(run: Run, seed: int) -> None:
    spec = cnnspec.loads(random_spec(random.Random(seed)))
    x = np.random.default_rng(seed).standard_normal((3, *spec.graph.input.shape))
    agrees(run, spec.graph, initial(spec.graph, seed), x)


def random_spec(choose: random.Random) -> str:
    """A few layers and merges one after the other, on an image of 3×12×10."""
    channels = choose.choice([4, 6])
    same = [
        "relu", "gelu", "batch_norm", "hard_swish", "layer_norm", "dropout: 0.5", "channel_shuffle: 2",
        f"conv: {{channels: {channels}, kernel: 3, padding: same}}", "max_pool: {kernel: 3, stride: 1, padding: same}",
        f"conv: {{channels: {channels}, kernel: 3, groups: 2, padding: same_lower, norm: batch_norm}}",
    ]  # fmt: skip
    lines = [f"conv: {{channels: {channels}, kernel: {choose.choice([1, 3])}, padding: same}}"]
    for _ in range(5):
        form = choose.choice(["chain", "add", "concat", "multiply"])
        if form == "chain":
            lines.append(choose.choice(same))
        else:
            branches = [choose.sample(same, choose.randint(0, 2)) for _ in range(2)]
            a, b = (f"[{', '.join(branch)}]" for branch in branches)
            lines.append(f"{form}: {{a: {a}, b: {b}}}")
            if form == "concat":
                lines.append(f"slice: [1, {1 + channels}]")
    lines += choose.choice([["max_pool: 2", "flatten"], ["global_avg_pool"], ["upsample: 2", "avg_pool: 4", "flatten"]])
    return "input: [3, 12, 10]\nlayers:\n" + "".join(f"  - {line}\n" for line in [*lines, "dense: 5"])


def test_every_kind_has_a_module() -> None:
    pytest.importorskip("torch")
    from cnnspec.bench.torch_modules import MODULES

    assert MODULES.keys() == LAYERS.keys()


class Unknown(Elementwise):
    """A layer of another package."""

    kind = "unknown"
    monotone = False
    linear = False
    piecewise = False


@PEERS
def test_a_layer_without_counterpart(run: Run) -> None:
    builder = GraphBuilder()
    builder.add("odd1", Unknown(), [builder.input((3,)).name])
    with pytest.raises(CnnspecError, match=r"stands for .*`odd1` \(unknown\)"):
        run(builder.graph(), {}, np.zeros((1, 3), np.float32))


def test_chains_are_sequential_and_arrays_are_shared() -> None:
    torch = pytest.importorskip("torch")
    from cnnspec.bench.torch_modules import to_modules

    graph = cnnspec.load("lenet").graph
    module = to_modules(graph, initial(graph, 0))
    assert [type(part).__name__ for part in module][:3] == ["Conv2d", "Sigmoid", "MaxPool2d"]
    assert isinstance(module, torch.nn.Sequential)

    builder = GraphBuilder()
    conv = Conv(channels=2, kernel=(1, 1), bias=False)
    builder.input((2, 4, 4))
    builder.add("a", conv, ["input"])
    builder.add("b", conv, ["a"], arrays={"weight": "a.weight"})
    graph = builder.graph()
    assert sum(p.numel() for p in to_modules(graph, initial(graph, 0)).parameters()) == 4


@pytest.mark.parametrize(
    "train",
    [
        Train(optimizer=Sgd(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
        Train(optimizer=Adam(learning_rate=0.01)),
        Train(optimizer=AdamW(learning_rate=0.01), loss=MeanSquaredError()),
        Train(optimizer=RmsProp(momentum=0.9), loss=CrossEntropy(class_weights=(1, 3, 0.5), label_smoothing=0.1)),
        Train(loss=BinaryCrossEntropy(positive_weight=(1, 3, 0.5))),
        Train(loss=L1()),
        Train(loss=Huber(delta=0.5)),
    ],
    ids=lambda train: f"{train.optimizer.kind}-{train.loss.kind}",
)
def test_a_training_step_is_the_same(train: Train) -> None:
    pytest.importorskip("torch")
    text = "input: [2, 8, 8]\nlayers:\n  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}\n"
    graph = cnnspec.loads(
        text + "  - add: {a: [], b: [conv: {channels: 4, kernel: 1}]}\n  - flatten\n  - dense: 3\n"
    ).graph
    network = Network(graph, initial(graph, 0, np.float32), train, "float32", 0, 1)
    losses = []
    for peer in (Peer("numpy", "numpy"), Peer("torch", "torch"), Peer.against("torch-eager")):
        runner = runner_of(network, peer)
        runner.prepare(Workload("step", 2))  # the second time begins anew
        losses.append(runner.prepare(Workload("step", 6))[0])
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-4)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (Train(loss=Dice()), "PyTorch has no `dice`"),
        (Train(optimizer=Lion()), "PyTorch has no `lion`"),
        (Train(ema=0.9, clip=Clip(norm=1)), "has no `clip` and `ema`"),
    ],
)
def test_training_that_pytorch_lacks(train: Train, message: str) -> None:
    pytest.importorskip("torch")
    graph = cnnspec.loads("input: [2, 4, 4]\nlayers: [conv: {channels: 2, kernel: 1}]").graph
    network = Network(graph, initial(graph, 0, np.float32), train, "float32", 0, 1)
    runner = runner_of(network, Peer.against("torch-eager"))
    assert runner.prepare(Workload("forward", 2))[0].shape == (2, 2, 4, 4)
    with pytest.raises(BackendError, match=message):
        runner.prepare(Workload("step", 2))
    assert len(runner_of(network, Peer("numpy", "numpy")).prepare(Workload("step", 2))[0]) == 2


def test_losses_are_not_compared_where_dropout_draws() -> None:
    graph = cnnspec.loads("input: [4]\nlayers:\n  - dropout: 0.5\n  - dense: 3\n").graph
    network = Network(graph, initial(graph, 0, np.float32), Train(), "float32", 0, 1)
    assert runner_of(network, Peer("numpy", "numpy")).prepare(Workload("step", 2))[0].size == 0


def test_dtypes_that_a_peer_lacks() -> None:
    graph = cnnspec.loads("input: [4]\nlayers:\n  - dense: 3\n").graph
    for name, dtype in (("onnxruntime", "float64"), ("torch-eager", "bfloat16")):
        pytest.importorskip(name.removesuffix("-eager"))
        with pytest.raises(BackendError, match=f"alone here, not in {dtype}"):
            runner_of(Network(graph, initial(graph, 0), Train(), dtype, 0, 1), Peer.against(name))
