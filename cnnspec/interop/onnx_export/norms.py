"""Normalisation as nodes of an ONNX model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own


def _batch_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    arrays = e.arrays_of(own, "weight", "bias", "running_mean", "running_var")
    # ONNX's momentum is that of the old statistics.
    return e.add("BatchNormalization", [*xs, *arrays], epsilon=layer.eps, momentum=1 - layer.momentum)


def _layer_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    inputs = e.arrays_of(own, "weight", "bias")
    axes = [1 + axis for axis in layer.positions(node.shape)]
    # The operator is over the last axes.
    order = [axis for axis in range(1 + len(node.shape)) if axis not in axes] + axes
    in_place = order == sorted(order)
    x = xs[0] if in_place else e.add("Transpose", xs, perm=order)
    y = e.add("LayerNormalization", [x, *inputs], axis=-len(axes), epsilon=layer.eps)
    return y if in_place else e.add("Transpose", [y], perm=[int(axis) for axis in np.argsort(order)])


def _rms_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    axes = layer.positions(node.shape)
    count = math.prod(node.shape[axis] for axis in axes)
    total = e.add("ReduceSum", [e.add("Mul", [*xs, *xs]), e.numbers([1 + axis for axis in axes])])
    mean = e.add("Div", [total, e.constant(float(count))])
    root = e.add("Sqrt", [e.add("Add", [mean, e.constant(layer.eps)])])
    weight = e.array_as(own["weight"], [n if i in axes else 1 for i, n in enumerate(node.shape)])
    return e.add("Mul", [e.add("Div", [*xs, root]), weight])


def _instance_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c = node.shape[0]
    arrays = e.arrays_of(own, "weight", "bias") or [e.constant(np.ones(c)), e.constant(np.zeros(c))]
    return e.add("InstanceNormalization", [*xs, *arrays], epsilon=layer.eps)


def _group_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    groups = layer.groups
    unit = [e.constant(np.ones(groups)), e.constant(np.zeros(groups))]
    flat = e.reshape(xs[0], groups, math.prod(node.shape) // groups)
    y = e.reshape(e.add("InstanceNormalization", [flat, *unit], epsilon=layer.eps), *node.shape)
    weight, bias = (e.array_as(own[key], _of_channels(node)) for key in ("weight", "bias"))
    return e.add("Add", [e.add("Mul", [y, weight]), bias])


def _of_channels(node: Node) -> tuple[int, ...]:
    """Return the shape of an array that has a number for each channel, to be broadcast over the positions."""
    return (node.shape[0], *[1] * (len(node.shape) - 1))


def _local_response_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    if layer.size % 2 and len(node.shape) == 3:
        return e.add("LRN", xs, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    # ONNX's operator is over an odd number of channels, and ONNX Runtime's of images alone: the mean of the squares
    # over the channels is that of a pool.
    c, *sizes = node.shape
    squares = e.reshape(e.add("Mul", [*xs, *xs]), 1, c, math.prod(sizes))
    before, after = layer.size // 2, (layer.size - 1) // 2
    mean = e.add(
        "AveragePool", [squares], kernel_shape=[layer.size, 1], pads=[before, 0, after, 0], count_include_pad=1
    )
    weighted = e.add("Mul", [e.reshape(mean, *node.shape), e.constant(layer.alpha)])
    return e.add("Div", [*xs, e.add("Pow", [e.add("Add", [weighted, e.constant(layer.k)]), e.constant(layer.beta)])])


def _scale(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return e.add("Mul", [*xs, e.array_as(own["weight"], _of_channels(node)) if own else e.constant(layer.value)])


def _shift(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return e.add("Add", [*xs, e.array_as(own["bias"], _of_channels(node)) if own else e.constant(layer.value)])


def _reduce(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    axes = [1 + axis for axis in layer.positions(node.in_shapes[0])]
    op = f"Reduce{layer.mode.capitalize()}"
    if layer.mode == "sum" or e.since(18):
        return e.add(op, [*xs, e.numbers(axes)])
    return e.add(op, xs, axes=axes)


EMITTERS: dict[str, Emit] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "local_response_norm": _local_response_norm,
    "scale": _scale,
    "shift": _shift,
    "reduce": _reduce,
}
"""An emitter for each kind of norm."""
