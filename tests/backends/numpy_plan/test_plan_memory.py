"""A plan lays out its memory beforehand, in no more than `check` predicts, and allocates nothing when it runs."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from cnnspec_numpy.plan.memory import Region, aligned, place
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_comparison import batch, bundled, network, prepare, targets

import cnnspec
from cnnspec.graph.costs import peak_activation_bytes
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import CrossEntropy

regions = st.builds(
    lambda size, first, length: Region(size, first, first + length),
    st.one_of(st.integers(1, 500), st.sampled_from([64, 128, 4096])),
    st.integers(-1, 12),
    st.integers(0, 6),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(regions, max_size=14))
def test_regions_in_use_at_the_same_time_never_overlap(found: list[Region]) -> None:
    total = place(found)
    for i, one in enumerate(found):
        assert one.offset % 64 == 0
        assert 0 <= one.offset <= one.offset + one.size <= total
        for other in found[:i]:
            together = one.first <= other.last and other.first <= one.last
            assert not (together and one.overlaps(other))
    least = max((sum(aligned(r.size) for r in found if r.first <= t <= r.last) for t in range(-1, 20)), default=0)
    assert least <= total <= sum(aligned(r.size) for r in found)


SIZES: dict[str, int | None] = {
    "lenet": None, "lenet5": None, "mlp": None, "resnet20": None, "allconv28": None, "separable28": None, "nin": None,
    "mobilenet_v2": 64, "densenet121": 64, "googlenet": 64, "squeezenet1_0": 64, "squeezenet1_1": 64, "resnet18": 64,
    "shufflenet_v2_x1_0": 64, "efficientnet_b0": 64, "resnet50": 64, "resnext50_32x4d": 64, "unet_padded": 64,
    "convnext_tiny": 64,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_values_take_what_check_predicts(name: str) -> None:
    """Of the network as it is written: rewrites save memory, borders of zeros take some."""
    graph = bundled(name, SIZES[name])
    model = prepare(graph, dtype="float32", weights=zeros(graph))
    model._planned().new_plan(1)  # prepares the weights
    tracemalloc.start()
    plan = model._planned().new_plan(1)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert plan.value_bytes <= 1.15 * peak_activation_bytes(graph, 1, 4)
    # Beside values and workspace there are only the calls themselves, and their views of arrays.
    calls = sum(len(lane) for step in plan.steps for lane in step.lanes)
    assert taken - plan.value_bytes - plan.workspace_bytes <= 2048 * calls + 32_000


def zeros(graph: Graph) -> dict[str, np.ndarray]:
    return {name: np.zeros(p.shape, np.float32) for name, p in graph.parameters.items()}


def test_the_listing_states_the_workspace() -> None:
    graph = bundled("resnet20")
    model = prepare(graph)
    plan = model._planned().new_plan(1)
    assert max(step.workspace for step in model.plan(1)) == plan.workspace_bytes > 0


BUFFERS = 3 * 8192
"""Numbers that NumPy itself buffers during a call that is not over contiguous arrays: `numpy.getbufsize()` for each of
its three arrays."""


def allocated(call: Callable[[], object]) -> int:
    """The most bytes that a call holds beyond those before it, when it is made once more."""
    call()
    call()
    tracemalloc.start()
    call()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - before


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("name", "size", "n"), [("lenet", None, 128), ("resnet20", None, 16), ("mobilenet_v2", 64, 8)])
def test_a_prediction_allocates_its_output_alone(name: str, size: int | None, n: int, threads: int) -> None:
    graph = bundled(name, size)
    model = prepare(graph, dtype="float32", threads=threads)
    x = batch(graph, n)["input"].astype(np.float32)
    limit = 2 * model.predict(x).nbytes + threads * 4 * BUFFERS + 24_000
    assert allocated(lambda: model.predict(x)) <= limit < peak_activation_bytes(graph, n, 4) / 4


MOBILENET = "conv: {channels: 8, kernel: 3, stride: 2, padding: same, norm: batch_norm}, relu, " + ", ".join(
    f"conv: {{channels: {c}, kernel: 3, stride: {stride}, groups: {c}, padding: same, norm: batch_norm, activation: "
    f"relu}}, conv: {{channels: {2 * c}, kernel: 1, norm: batch_norm, activation: relu}}"
    for c, stride in [(8, 1), (16, 2), (32, 2), (64, 1)]
) + ", global_avg_pool, dense: 10"  # fmt: skip
"""MobileNetV1 (Howard et al. 2017), of fewer and narrower layers."""

GOOGLENET = "conv: {channels: 8, kernel: 3}, " + ", ".join(
    ["concat: {a: [conv: {channels: 8, kernel: 1}], b: [max_pool: {kernel: 3, stride: 1, padding: same}]}, relu, "
     "avg_pool: 2"] * 2
) + ", global_avg_pool, dense: 10"  # fmt: skip

LAYERS = (
    "conv: {channels: 8, kernel: 3, dilation: 2, padding: same}, prelu, conv: {channels: 8, kernel: 3, groups: 2, "
    "stride: 2, padding: same}, hard_swish, dropout: 0.2, conv_transpose: {channels: 8, kernel: 3, stride: 2, groups: "
    "4}, silu, elu, selu, gelu: tanh, gelu, mish, softplus, hard_sigmoid, leaky_relu: 2.0, group_norm: 2, layer_norm, "
    "layer_norm: {axes: all}, local_response_norm: 3, scale: 0.5, upsample: 2, crop: [30, 30], pad: {padding: 2}, "
    "adaptive_avg_pool: 7, log_softmax, global_avg_pool, dropout: 0.5, softmax, dense: 10"
)
STEPS: dict[str, tuple[str, int | None, int]] = {
    "lenet": ("", None, 128), "resnet20": ("", None, 16), "mobilenet_v2": ("", 64, 16),
    "efficientnet_b0": ("", 64, 16), "shufflenet_v2_x1_0": ("", 64, 48), "resnext50_32x4d": ("", 64, 16),
    "convnext_tiny": ("", 64, 16), "mobilenet-like": (MOBILENET, 64, 32), "googlenet-like": (GOOGLENET, 32, 32),
    "layers": (LAYERS, 32, 32),
}  # fmt: skip
"""The layers, where the network is no bundled one, the size of the image, and the samples of a batch."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_allocates_its_output_alone(name: str, threads: int) -> None:
    """Where each layer has an operation of its own: a kernel works on copies."""
    layers, size, n = STEPS[name]
    graph = network(layers, (3, size or 32, size or 32)) if layers else bundled(name, size)
    weights = cnnspec.build(graph, "numpy", dtype="float32").state()
    model = prepare(graph, dtype="float32", threads=threads, weights=weights)
    x, target = batch(graph, n)["input"].astype(np.float32), targets(graph, CrossEntropy(), n)
    model.step(x, target)
    limit = 2 * model.outputs.nbytes + threads * 4 * BUFFERS + 24_000
    assert allocated(lambda: model.step(x, target)) <= limit < peak_activation_bytes(graph, n, 4) / 4


@pytest.mark.parametrize("name", ["gelu", "gelu: tanh", "mish", "softmax", "log_softmax", "local_response_norm: 3",
                                  "group_norm: 2", "layer_norm", "layer_norm: {axes: all}",
                                  "conv_transpose: {channels: 8, kernel: 2, stride: 2, groups: 2}"])  # fmt: skip
def test_a_layer_allocates_its_output_alone(name: str) -> None:
    """Behind a convolution, and before one, at inference."""
    graph = network(
        f"conv: {{channels: 8, kernel: 3}}, {name}, conv: {{channels: 2, kernel: 3, stride: 4}}", (3, 34, 34)
    )
    model = prepare(graph, dtype="float32")
    x = batch(graph, 64)["input"].astype(np.float32)
    limit = 2 * model.predict(x).nbytes + 4 * BUFFERS + 24_000
    assert allocated(lambda: model.predict(x)) <= limit < peak_activation_bytes(graph, 64, 4) / 4


@pytest.mark.parametrize("name", ["gelu", "gelu: tanh", "mish"])
def test_the_workspace_holds_all_that_a_function_works_in(name: str) -> None:
    graph = network(f"conv: {{channels: 8, kernel: 3}}, {name}", (3, 34, 34))
    model = prepare(graph, dtype="float32")
    model._planned().new_plan(16)  # prepares the weights
    tracemalloc.start()
    plan = model._planned().new_plan(16)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    calls = sum(len(lane) for step in plan.steps for lane in step.lanes)
    assert taken - plan.value_bytes - plan.workspace_bytes <= 2048 * calls + 32_000


@pytest.mark.parametrize("training", [False, True], ids=["predict", "step"])
@pytest.mark.parametrize("name", ["lenet", "resnet20"])  # shards by themselves, and shards that exchange sums
def test_a_model_is_freed_at_once_and_not_by_the_garbage_collector(name: str, training: bool) -> None:
    before = {*threading.enumerate()}
    gc.collect()
    gc.disable()
    try:
        model = cnnspec.build(name, "numpy", threads=2)
        x = np.zeros((32, *model.graph.input.shape), np.float32)
        model.predict(x)
        if training:
            model.step(x, np.zeros(32, np.int64))
        parts = [model, model._flat, model._executor, *([model._training] if training else [])]  # type: ignore[attr-defined]
        left = [weakref.ref(part) for part in parts]
        del model, parts
        assert [part() for part in left] == [None] * len(left)
        for thread in {*threading.enumerate()} - before:
            thread.join(10)
            assert not thread.is_alive()
    finally:
        gc.enable()
