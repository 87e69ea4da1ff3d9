"""Convolutions, dense layers and pools as nodes of an ONNX model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.borders import bordered, padded
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own
from cnnspec.interop.onnx_export.sampling import multiplied, taken
from cnnspec.layers.geometry import Window


def _pads(windows: Sequence[Window]) -> list[int]:
    """Return the pads as ONNX orders them: before for each axis, then after, with what ceil rounding reaches."""
    return [w.before for w in windows] + [w.after + w.extra for w in windows]


def _window(windows: Sequence[Window]) -> dict[str, Any]:
    fields = {
        "kernel_shape": [w.kernel for w in windows],
        "strides": [w.stride for w in windows],
        "pads": _pads(windows),
    }
    return fields | {"dilations": [w.dilation for w in windows]} if _is_dilated(windows) else fields


def _is_dilated(windows: Sequence[Window]) -> bool:
    return any(w.dilation > 1 for w in windows)


# Convolutions and dense layers


def _dense(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Gemm", [*xs, *e.arrays_of(own, "weight", "bias")], transB=1)


def _conv(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    weight, *bias = e.arrays_of(own, "weight", "bias")
    fields = _window(node.windows)
    if layer.flip:
        axes = range(2, 2 + len(node.windows))
        ends, steps = [np.iinfo(np.int64).min] * len(axes), [-1] * len(axes)
        weight = e.add("Slice", [weight, e.numbers(steps), e.numbers(ends), e.numbers(axes), e.numbers(steps)])
    if not layer.pads_with_zeros:
        xs, fields["pads"] = [bordered(e, node, xs[0], layer.padding_mode)], [0] * len(fields["pads"])
    return e.add("Conv", [*xs, weight, *bias], group=layer.groups, **fields)


def _conv_transpose(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows = node.windows
    # ONNX takes output padding below the stride alone. What it adds is padding that is not cut away, and zeros behind.
    plain = all(w.extra < w.stride for w in windows)
    behind = [0 if plain else max(0, w.extra - w.after) for w in windows]
    fields = _window(windows) | {
        "pads": [w.before for w in windows] + [w.after if plain else max(0, w.after - w.extra) for w in windows],
        "output_padding": [w.extra if plain else 0 for w in windows],
    }
    weight, *bias = e.arrays_of(own, "weight", "bias")
    if not any(behind):
        return e.add("ConvTranspose", [*xs, weight, *bias], group=layer.groups, **fields)
    y = padded(e, e.add("ConvTranspose", [*xs, weight], group=layer.groups, **fields), [0] * len(behind), behind)
    if not bias:
        return y
    return e.add("Add", [y, e.array_as(own["bias"], (-1, *[1] * len(windows)))])


# Pools


def _exceeds(windows: Sequence[Window]) -> bool:
    """Return whether a window is padded by as much as its kernel, which ONNX Runtime refuses."""
    return any(max(w.before, w.after + w.extra) >= w.kernel for w in windows)


def _max_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    windows, (x,), fields = node.windows, xs, _window(node.windows)
    if _exceeds(windows):
        before, after = [w.before for w in windows], [w.after + w.extra for w in windows]
        x, fields["pads"] = padded(e, x, before, after, -math.inf), [0] * len(fields["pads"])
    return e.add("MaxPool", [x], **fields)


def _avg_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows, sizes, counts = node.windows, node.in_shapes[0][1:], layer.count_padding
    if not _exceeds(windows) and (not _is_dilated(windows) or e.since(19)):
        y = e.add("AveragePool", xs, count_include_pad=int(counts), **_window(windows))
        if not counts or not any(w.extra for w in windows):
            return y  # elsewhere ONNX counts what lies beyond the padding, too
    else:
        y = _summed(e, node, xs[0], 1 / math.prod(w.kernel for w in windows))
    corrections = [
        np.array([w.kernel / w.counted(i, n, counts) for i in range(w.out)])
        for w, n in zip(windows, sizes, strict=True)
    ]
    return e.add("Mul", [y, e.constant(reduce(np.multiply.outer, corrections))])


def _lp_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows = node.windows
    if not _exceeds(windows) and (not _is_dilated(windows) or e.since(18)):
        return e.add("LpPool", xs, p=layer.p, **_window(windows))
    powers = e.add("Pow", [e.add("Abs", xs), e.constant(float(layer.p))])
    return e.add("Pow", [_summed(e, node, powers, 1.0), e.constant(1 / layer.p)])


def _summed(e: Emitter, node: Node, x: str, factor: float) -> str:
    """Append the sum of each window of each channel, times a factor, as a convolution."""
    weight = np.full((node.shape[0], 1, *(w.kernel for w in node.windows)), factor)
    return e.add("Conv", [x, e.constant(weight)], group=node.shape[0], **_window(node.windows))


def _global_pool(op: str) -> Emit:
    return lambda e, node, xs, own: e.add("Flatten", [e.add(op, xs)])


def _is_regular(windows: Sequence[Window]) -> bool:
    """Return whether the windows of an adaptive pool lie side by side, all of one size."""
    return all(bounds == (i * w.stride, (i + 1) * w.stride) for w in windows for i, bounds in enumerate(w.bounds))


def _adaptive_avg_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    if math.prod(node.shape[1:]) == 1:
        return e.add("GlobalAveragePool", xs)
    if _is_regular(node.windows):
        return e.add("AveragePool", xs, kernel_shape=[w.kernel for w in node.windows], **_steps(node.windows))
    sizes = node.in_shapes[0][1:]
    return multiplied(e, xs[0], node.in_shapes[0], [_means(w, n) for w, n in zip(node.windows, sizes, strict=True)])


def _adaptive_max_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    windows = node.windows
    if math.prod(node.shape[1:]) == 1:
        return e.add("GlobalMaxPool", xs)
    if _is_regular(windows):
        return e.add("MaxPool", xs, kernel_shape=[w.kernel for w in windows], **_steps(windows))
    # Each window side by side, a smaller one filled with its last element again, which changes no maximum.
    elements = [[min(start + tap, end - 1) for start, end in w.bounds for tap in range(w.kernel)] for w in windows]
    kernels = [w.kernel for w in windows]
    return e.add("MaxPool", [taken(e, xs[0], elements)], kernel_shape=kernels, strides=kernels)


def _steps(windows: Sequence[Window]) -> dict[str, list[int]]:
    return {"strides": [w.stride for w in windows]}


def _means(window: Window, n: int) -> Array:
    """Return the matrix that averages the elements of each window, [out, n]."""
    matrix = np.zeros((window.out, n))
    for row, (start, end) in zip(matrix, window.bounds, strict=True):
        row[start:end] = 1 / (end - start)
    return matrix


EMITTERS: dict[str, Emit] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "lp_pool": _lp_pool,
    "global_avg_pool": _global_pool("GlobalAveragePool"),
    "global_max_pool": _global_pool("GlobalMaxPool"),
    "adaptive_avg_pool": _adaptive_avg_pool,
    "adaptive_max_pool": _adaptive_max_pool,
}
"""An emitter for each kind of layer with a window, and for dense layers."""
