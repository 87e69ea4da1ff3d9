"""Random graphs give the same outputs and gradients with the plan as without."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from cnnspec_numpy.plan import executor, plan
from cnnspec_numpy.plan.value import Layout
from cnnspec_numpy.training import executor as training
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_comparison import EXACT, assert_same_training, batch, force, prepare, worst

import cnnspec
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import CrossEntropy, MeanSquaredError
from cnnspec.layers import Layer, ShapeError
from cnnspec.layers.merge import Add, Concat, Multiply

LAYERS = [
    "relu", "sigmoid", "tanh", "relu6", "leaky_relu: 0.3", "silu", "gelu", "gelu: tanh", "elu", "prelu", "hard_swish",
    "softplus", "mish", "softmax", "scale", "scale: {value: 0.5, learn: false}", "batch_norm", "dropout: 0.4",
    "flatten", "conv: {channels: 4, kernel: 3, padding: same}",
    "conv: {channels: 8, kernel: 3, padding: same, bias: false}",
    "conv: {channels: 8, kernel: 3}", "conv: {channels: 6, kernel: 1}", "conv: {channels: 3, kernel: 1, stride: 2}",
    "conv: {channels: 4, kernel: [2, 3], stride: [2, 1], padding: 1}", "conv: {channels: 4, kernel: 2, dilation: 2}",
    "conv: {channels: 8, kernel: 3, groups: 2, padding: same}", "conv: {channels: 8, kernel: 3, groups: 8}",
    "conv: {channels: 4, kernel: 3, groups: 4, padding: same}", "conv: {channels: 5, kernel: [3, 1], flip: true}",
    "conv: {channels: 4, kernel: 1, padding: 4}", "conv_transpose: {channels: 4, kernel: 2, stride: 2}",
    "conv_transpose: {channels: 4, kernel: 3, padding: 2, groups: 2}", "dense: 8", "dense: 3", "max_pool: 2",
    "max_pool: {kernel: 3, stride: 1, padding: same}", "max_pool: {kernel: 3, stride: 2, rounding: ceil}",
    "avg_pool: 2", "avg_pool: {kernel: 3, stride: 1, padding: same, count_padding: false}", "global_avg_pool",
    "global_max_pool", "adaptive_avg_pool: [2, 3]", "adaptive_avg_pool: 1", "layer_norm", "group_norm: 2",
    "upsample: 2", "upsample: {scale: 2, mode: bilinear}",
    "pad: {padding: 2, value: 1.5}", "pad: {padding: 2, mode: edge}",
    "selu", "hard_sigmoid", "log_softmax", "leaky_relu: 1.5", "leaky_relu: -0.2", "prelu: {shared: true}",
    "layer_norm: {axes: all}", "local_response_norm: {size: 4, alpha: 0.5}",
    "conv: {channels: 8, kernel: 3, stride: 2, groups: 4, padding: same}",
    "conv: {channels: 8, kernel: 3, stride: [1, 2], dilation: 2, groups: 8, padding: 4}",
    "conv_transpose: {channels: 8, kernel: 3, stride: 2, dilation: 2, groups: 8}",
    "crop: [3, 3]", "channel_shuffle: 2", "slice: [1, 3]", "slice: [0, 4]",
]  # fmt: skip

LARGEST = 4096
"""Numbers in a sample of a value."""


@cache
def layer_of(text: str) -> Layer:
    shape = [12] if text.startswith("dense") else [8, 16, 16]
    return cnnspec.loads(f"input: {shape}\nlayers: [{text}]\n").graph.nodes[-1].layer


steps = st.one_of(
    st.tuples(st.sampled_from(LAYERS), st.integers(0, 3)),
    st.tuples(st.sampled_from(["add", "multiply", "concat"]), st.lists(st.integers(0, 5), min_size=2, max_size=3)),
)


@st.composite
def graphs(draw: Any, outputs: int = 3, inputs: int = 2) -> Graph:
    """Layers that read one of the last values, or several; those that do not fit are left out."""
    builder = GraphBuilder("random")
    shapes = st.one_of(st.tuples(st.sampled_from([3, 4, 8]), st.integers(3, 9), st.integers(3, 9)), st.just((6,)))
    for i in range(draw(st.integers(1, inputs))):
        builder.input(draw(shapes), f"input{i}")
    merges = {"add": Add(), "multiply": Multiply(), "concat": Concat()}
    for i, (text, back) in enumerate(draw(st.lists(steps, min_size=1, max_size=9))):
        nodes = builder.nodes
        backs = back if isinstance(back, list) else [back]
        read = [nodes[-1 - b % len(nodes)].name for b in backs]
        layer = merges[text] if text in merges else layer_of(text)
        try:
            node = builder.infer(f"{layer.kind}{i}", layer, read, [builder._by_name[name].shape for name in read])
        except ShapeError:
            continue
        if np.prod(node.shape) > LARGEST:
            continue
        # Every other layer shares the arrays of one before it that has arrays of the same shapes.
        alike = [other for other in nodes if i % 2 and other.kind == node.kind and other.parameters == node.parameters]
        builder.add(node.name, layer, read, arrays=alike[-1].arrays if alike else None)
    names = [node.name for node in builder.nodes]
    return builder.graph([*dict.fromkeys(draw(st.lists(st.sampled_from(names), min_size=1, max_size=outputs)))])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graph=graphs(), n=st.integers(1, 9), layout=st.sampled_from([None, *Layout]), index=st.integers(0, 7))
def test_outputs(graph: Graph, n: int, layout: Layout | None, index: int) -> None:
    """By choice or with the given methods, in chunks, on three threads or lanes."""
    inputs = batch(graph, n)
    given = {name: x.copy() for name, x in inputs.items()}
    with pytest.MonkeyPatch.context() as patch:
        if layout is not None:
            force(patch, layout, index)
        patch.setattr(executor, "CHUNK_BYTES", 4 * executor.peak_activation_bytes(graph, 1, 8))
        patch.setattr(executor, "SHARE_SECONDS", 1e-12)
        patch.setattr(plan, "LANE_SECONDS", 0)
        model = prepare(graph, threads=3)
        found = model.run(inputs)
        again = model.run(inputs)
    assert worst(found, prepare(graph, "strict").run(inputs)) <= EXACT
    for name, y in found.items():
        np.testing.assert_array_equal(again[name], y)
    for name, x in inputs.items():
        np.testing.assert_array_equal(x, given[name])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graph=graphs(outputs=1, inputs=1), n=st.integers(2, 9), threads=st.integers(1, 3))
def test_training(graph: Graph, n: int, threads: int) -> None:
    """Two steps, in shards and chunks."""
    classes = len(graph.output.shape) == 1 and graph.output.shape[0] > 1 and n % 2
    loss = CrossEntropy(label_smoothing=0.1) if classes else MeanSquaredError()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "LEAST", 2)
        patch.setattr(training, "CHUNK_BYTES", 1)
        assert_same_training(prepare(graph, threads=threads), prepare(graph, "strict"), n, loss)
