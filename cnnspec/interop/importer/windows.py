"""Windows of foreign operations as fields of layers."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import padding
from cnnspec.layers import Layer, ShapeError
from cnnspec.layers.axes import short_form
from cnnspec.layers.geometry import Window
from cnnspec.layers.padding import Padding
from cnnspec.layers.pool import AdaptiveAvgPool, AvgPool


def window(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], pads: Padding) -> dict[str, Any]:
    """Return the fields of a layer with a window, whose sizes are by axis."""
    return {
        "kernel": short_form(tuple(kernel)),
        "stride": short_form(tuple(stride)),
        "dilation": short_form(tuple(dilation)),
        "padding": pads,
    }


def spatial(net: Network, x: Value) -> Value:
    """Return a tensor [n, c, ...] as the value of a node with one to three spatial axes."""
    if not 3 <= len(x.shape) <= 5:
        raise Unsupported(f"it reads {net.described(x)}, which has {len(x.shape) - 2} spatial axes, not one to three")
    return net.image(x)


def pooled(net: Network, x: Value, layer: Callable[..., Layer], fields: dict[str, Any]) -> Value:
    """Return a pool, whose stride is its kernel unless it is given."""
    if fields["stride"] == fields["kernel"]:
        fields = {name: value for name, value in fields.items() if name != "stride"}
    return net.add(layer(**fields), x.node)


def recounted(net: Network, value: Value, factor: Array) -> Value | None:
    """Return the average pool that the sum of each window times a factor by position is; None where it is none.

    An average pool does not count what ceil rounding reaches beyond the padding. Formats whose pools count it, or
    cannot say the two apart, pad by as much more, and multiply each position by kernel / counted; what they have no
    pool for is a convolution with equal weights.
    """
    node = net.node(value)
    pool = _counting_pool(net, node)
    if pool is None or value.view != net.value(node).view:
        return None
    sizes = node.in_shapes[0][1:]
    if factor.ndim < len(sizes):
        return None
    if factor.size != math.prod(node.shape[1:]) or factor.shape[-len(sizes) :] != node.shape[1:]:
        return None
    factors, windows = factor.reshape(node.shape[1:]), node.windows
    kernel, dilation = [w.kernel for w in windows], [w.dilation for w in windows]
    afters = itertools.product(*(range(w.after + 1) for w in windows))
    for after, rounding, counts in itertools.product(afters, ("floor", "ceil"), (True, False)):
        sides = [(w.before, n) for w, n in zip(windows, after, strict=True)]
        fields = {"padding": padding(sides, kernel, dilation), "rounding": rounding, "count_padding": counts}
        same = pool.model_copy(update=fields)
        try:
            found = same.infer(node.in_shapes[0])
        except ShapeError:
            continue
        if found.shape == node.shape and np.allclose(factors, _corrections(found.windows, sizes, counts), rtol=1e-6):
            return net.add(same, node.inputs[0])
    return None


def _counting_pool(net: Network, node: Node) -> AvgPool | None:
    """Return the average pool that a node is whose padding counts; a convolution of each channel may be one."""
    layer: Any = node.layer
    if layer.kind == "avg_pool" and layer.count_padding:
        return cast(AvgPool, layer)
    if layer.kind != "conv" or layer.groups != node.in_shapes[0][0] or layer.bias or not layer.pads_with_zeros:
        return None
    weight = net.arrays[node.arrays["weight"]]
    kernel = weight.shape[2:]
    if weight.shape[:2] != (layer.groups, 1) or not np.allclose(weight, 1 / math.prod(kernel), rtol=1e-6, atol=0):
        return None
    return AvgPool(kernel=short_form(kernel), stride=layer.stride, dilation=layer.dilation)


def _corrections(windows: Sequence[Window], sizes: Sequence[int], counts: bool) -> Array:
    """Return kernel / counted for each position of an average pool."""
    by_axis = [
        np.array([w.kernel / w.counted(i, n, counts) for i in range(w.out)])
        for w, n in zip(windows, sizes, strict=True)
    ]
    return functools.reduce(np.multiply.outer, by_axis)


def averaged(net: Network, matrix: Array, x: Value) -> Value | None:
    """Return matrix · x as an adaptive pool along the last axis but one of x; None for a matrix of another kind.

    The matrix has 1 / size in the columns of each window of the pool, and else 0.
    """
    axis = len(x.shape) - 2
    if matrix.ndim != 2 or axis < 1 or matrix.shape[1] != x.shape[axis] or len(matrix) == matrix.shape[1]:
        return None
    expected = np.zeros(matrix.shape)
    (window,) = AdaptiveAvgPool(size=len(matrix)).infer((1, matrix.shape[1])).windows
    for row, (start, end) in zip(expected, window.bounds, strict=True):
        row[start:end] = 1 / (end - start)
    if not np.allclose(matrix, expected, rtol=1e-6, atol=0):
        return None
    if len(x.view.factors) != 1 + len(net.node(x).shape):
        x = net.plain_like(x)
    place = net.sample_axis(x, axis)
    if not place:  # over the channels, or over several axes
        return None
    sizes = list(net.node(x).shape[1:])
    sizes[place - 1] = len(matrix)
    result = net.add(AdaptiveAvgPool(size=short_form(sizes)), x.node)
    return result.seen(result.view._replace(axes=x.view.axes))
