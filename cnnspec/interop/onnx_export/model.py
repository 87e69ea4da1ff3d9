"""A network as an ONNX model for inference, whose first axis, the batch, is free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx
from onnx import helper

from cnnspec.arrays import Array
from cnnspec.interop.onnx_export import functions
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own
from cnnspec.interop.onnx_export.positions import EMITTERS_OF_POSITIONS, bordered
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers.geometry import Window

OPSET = 20
"""The version of ONNX's operators: the first that has Gelu."""
IR_VERSION = 9
"""The version of the format that came with the operators, so that a runtime of that time reads the model."""
BATCH = "batch"
"""The name of the free axis."""


def to_onnx(graph: Graph, arrays: Mapping[str, Array], dtype: str = "float32") -> onnx.ModelProto:
    """Return the network as an ONNX model with the weights; raise BackendError for a layer without counterpart."""
    emitter = Emitter(np.dtype(dtype), arrays)
    values: dict[str, str] = {}
    for node in graph.nodes:
        if not node.inputs:
            values[node.name] = node.name
            continue
        emit = EMITTERS.get(node.kind)
        if emit is None:
            raise BackendError(f"no operator of ONNX stands for the layer `{node.name}` ({node.kind})")
        values[node.name] = emit(emitter, node, [values[name] for name in node.inputs], node.arrays)
    output = emitter.add("Identity", [values[graph.output.name]], result="output")
    element = helper.np_dtype_to_tensor_dtype(emitter.dtype)
    inputs = [helper.make_tensor_value_info(n, element, [BATCH, *graph.by_name[n].shape]) for n in graph.inputs]
    outputs = [helper.make_tensor_value_info(output, element, [BATCH, *graph.output.shape])]
    proto = helper.make_graph(emitter.nodes, graph.name, inputs, outputs, emitter.constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


# Windows


def _pads(windows: Sequence[Window]) -> list[int]:
    """Return the pads as ONNX orders them: before for each axis, then after, with what ceil rounding reaches."""
    return [w.before for w in windows] + [w.after + w.extra for w in windows]


def _window(windows: Sequence[Window]) -> dict[str, Any]:
    return {
        "kernel_shape": [w.kernel for w in windows],
        "strides": [w.stride for w in windows],
        "pads": _pads(windows),
        "dilations": [w.dilation for w in windows],
    }


def _conv(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    weight = e.arrays[own["weight"]]
    flipped = [e.constant(np.flip(weight, tuple(range(2, weight.ndim))))] if layer.flip else []
    fields = _window(node.windows)
    if not layer.pads_with_zeros:
        xs, fields["pads"] = [bordered(e, node, xs, layer.padding_mode)], [0] * len(fields["pads"])
    inputs = [*xs, *(flipped or e.arrays_of(own, "weight")), *e.arrays_of(own, "bias")]
    return e.add("Conv", inputs, group=layer.groups, **fields)


def _conv_transpose(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows = node.windows
    if any(w.extra and w.extra >= w.stride for w in windows):
        raise BackendError(f"ONNX has no conv_transpose with more output padding than its stride (`{node.name}`)")
    fields = _window(windows) | {
        "pads": [w.before for w in windows] + [w.after for w in windows],
        "output_padding": [w.extra for w in windows],
    }
    return e.add("ConvTranspose", [*xs, *e.arrays_of(own, "weight", "bias")], group=layer.groups, **fields)


def _max_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    _check_pads(node)
    return e.add("MaxPool", xs, **_window(node.windows))


def _avg_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows = node.windows
    counts = layer.count_padding
    _check_pads(node)
    y = e.add("AveragePool", xs, count_include_pad=int(counts), **_window(windows))
    if not counts or not any(w.extra for w in windows):
        return y
    # ONNX has counted what lies beyond the padding, too.
    corrections = []
    for w, n in zip(windows, node.in_shapes[0][1:], strict=True):
        starts = np.arange(w.out) * w.stride
        corrections.append(w.kernel / np.minimum(w.kernel, w.before + n + w.after - starts))
    return e.add("Mul", [y, e.constant(reduce(np.multiply.outer, corrections))])


def _check_pads(node: Node) -> None:
    if any(max(w.before, w.after + w.extra) >= w.kernel for w in node.windows):
        raise BackendError(f"ONNX Runtime has no pool that is padded by as much as its kernel (`{node.name}`)")


def _global_pool(op: str) -> Emit:
    return lambda e, node, xs, own: e.add("Flatten", [e.add(op, xs)])


def _adaptive_avg_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    if math.prod(node.shape[1:]) == 1:
        return e.add("GlobalAveragePool", xs)
    if all(end - start == w.stride for w in node.windows for start, end in w.bounds):
        return e.add("AveragePool", xs, **_window(node.windows))
    # Windows of several sizes: each axis is averaged by a product, after which it is the first of the spatial axes.
    (x,), rank = xs, len(node.windows)
    for w, n in zip(reversed(node.windows), reversed(node.in_shapes[0][1:]), strict=True):
        x = e.add("MatMul", [x, e.constant(_averages(w, n).T)])
        if rank > 1:
            x = e.add("Transpose", [x], perm=[0, 1, rank + 1, *range(2, rank + 1)])
    return x


def _averages(window: Window, n: int) -> Array:
    """Return the matrix that averages the elements of each window, [out, n]."""
    matrix = np.zeros((window.out, n))
    for row, (start, end) in zip(matrix, window.bounds, strict=True):
        row[start:end] = 1 / (end - start)
    return matrix


# Normalisation


def _batch_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    arrays = e.arrays_of(own, "weight", "bias", "running_mean", "running_var")
    return e.add("BatchNormalization", [*xs, *arrays], epsilon=layer.eps)


def _layer_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    inputs, fields = e.arrays_of(own, "weight", "bias"), {"epsilon": layer.eps}
    axes = [1 + axis for axis in layer.positions(node.shape)]
    # The operator is over the last axes.
    order = [axis for axis in range(1 + len(node.shape)) if axis not in axes] + axes
    x = e.add("Transpose", xs, perm=order)
    y = e.add("LayerNormalization", [x, *inputs], axis=-len(axes), **fields)
    return e.add("Transpose", [y], perm=[int(axis) for axis in np.argsort(order)])


def _rms_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    axes = [1 + axis for axis in layer.positions(node.shape)]
    weight = e.arrays[own["weight"]].reshape([n if 1 + i in axes else 1 for i, n in enumerate(node.shape)])
    mean = e.add("ReduceMean", [e.add("Mul", [*xs, *xs]), e.numbers(axes)])
    root = e.add("Sqrt", [e.add("Add", [mean, e.constant(np.array(layer.eps))])])
    return e.add("Mul", [e.add("Div", [*xs, root]), e.constant(weight)])


def _instance_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c = node.shape[0]
    arrays = e.arrays_of(own, "weight", "bias") or [e.constant(np.ones(c)), e.constant(np.zeros(c))]
    return e.add("InstanceNormalization", [*xs, *arrays], epsilon=layer.eps)


def _group_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    groups, ones = layer.groups, [1] * (len(node.shape) - 1)
    unit = [e.constant(np.ones(groups)), e.constant(np.zeros(groups))]
    x = e.add("InstanceNormalization", [e.reshape(xs[0], groups, -1), *unit], epsilon=layer.eps)
    weight, bias = (e.constant(e.arrays[own[key]].reshape(-1, *ones)) for key in ("weight", "bias"))
    return e.add("Add", [e.add("Mul", [e.reshape(x, *node.shape), weight]), bias])


def _local_response_norm(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    if not layer.size & 1:
        raise BackendError(f"ONNX has no local_response_norm over an even number of channels (`{node.name}`)")
    if len(node.shape) != 3:
        raise BackendError(f"ONNX Runtime has no local_response_norm of anything but images (`{node.name}`)")
    return e.add("LRN", xs, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)


def _scale(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    factor = e.arrays[own["weight"]].reshape(-1, *[1] * (len(node.shape) - 1)) if own else np.array(layer.value)
    return e.add("Mul", [*xs, e.constant(factor)])


# Rearranging


def _flatten(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return xs[0] if len(node.in_shapes[0]) == 1 else e.add("Flatten", xs)


def _dense(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Gemm", [*xs, *e.arrays_of(own, "weight", "bias")], transB=1)


def _upsample(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    scales = e.constant((1, 1, *layer.scales(node.shape)), dtype=np.float32)
    fields = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if layer.mode != "nearest":
        fields = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return e.add("Resize", [*xs, "", scales], **fields)


def _pad(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return bordered(e, node, xs, layer.mode, layer.value)


def _crop(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    starts = [-w.before for w in node.windows]
    ends = [w.out - w.before for w in node.windows]
    return e.add("Slice", [*xs, e.numbers(starts), e.numbers(ends), e.numbers(range(2, 2 + len(ends)))])


def _rearranged(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    sizes, order = layer.split(node.in_shapes[0])
    y = e.add("Transpose", [e.reshape(xs[0], *sizes)], perm=[0, *(1 + axis for axis in order)])
    return e.reshape(y, *node.shape)


def _slice(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    first, end = layer.channels
    return e.add("Slice", [*xs, e.numbers([first]), e.numbers([end]), e.numbers([1])])


def _channel_shuffle(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c, *sizes = node.shape
    x = e.reshape(xs[0], layer.groups, c // layer.groups, *sizes)
    return e.reshape(e.add("Transpose", [x], perm=[0, 2, 1, *range(3, 3 + len(sizes))]), *node.shape)


EMITTERS: dict[str, Emit] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_pool("GlobalAveragePool"),
    "global_max_pool": _global_pool("GlobalMaxPool"),
    "adaptive_avg_pool": _adaptive_avg_pool,
    "flatten": _flatten,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "local_response_norm": _local_response_norm,
    "reshape": lambda e, node, xs, own: e.reshape(xs[0], *node.shape),
    "permute": _rearranged,
    "depth_to_space": _rearranged,
    "space_to_depth": _rearranged,
    **EMITTERS_OF_POSITIONS,
    **dict.fromkeys(("dropout", "spatial_dropout", "stochastic_depth"), lambda e, node, xs, own: xs[0]),
    "upsample": _upsample,
    "pad": _pad,
    "crop": _crop,
    "channel_shuffle": _channel_shuffle,
    "slice": _slice,
    "scale": _scale,
    **functions.EMITTERS,
}
"""An emitter for each kind of layer, of its node, the names of its inputs, and those of its arrays by key."""
