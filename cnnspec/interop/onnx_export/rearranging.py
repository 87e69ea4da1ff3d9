"""Layers that move numbers, or drop them in training, as nodes of an ONNX model."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.borders import bordered, cut
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own


def _flatten(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return xs[0] if len(node.in_shapes[0]) == 1 else e.add("Flatten", xs)


def _reshape(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.reshape(xs[0], *node.shape)


def _pad(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return bordered(e, node, xs[0], layer.mode, layer.value)


def _crop(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    starts = [-w.before for w in node.windows]
    ends = [w.out - w.before for w in node.windows]
    return cut(e, xs[0], starts, ends, range(2, 2 + len(ends)))


def _rearranged(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    sizes, order = layer.split(node.in_shapes[0])
    y = e.add("Transpose", [e.reshape(xs[0], *sizes)], perm=[0, *(1 + axis for axis in order)])
    return e.reshape(y, *node.shape)


def _slice(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    parts = {1 + axis: part for axis, part in enumerate(layer.parts(node.in_shapes[0])) if part != slice(None)}
    starts, ends = [part.start for part in parts.values()], [part.stop for part in parts.values()]
    return cut(e, xs[0], starts, ends, list(parts), [part.step for part in parts.values()])


def _channel_shuffle(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c, *sizes = node.shape
    x = e.reshape(xs[0], layer.groups, c // layer.groups, *sizes)
    return e.reshape(e.add("Transpose", [x], perm=[0, 2, 1, *range(3, 3 + len(sizes))]), *node.shape)


def _dropped(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    if not e.training:
        return xs[0]
    rate = e.constant(layer.rate)
    shape = layer.mask_shape(node.shape)
    if shape == node.shape:
        return e.add("Dropout", [*xs, rate])
    # A mask of fewer numbers than the sample: what the operator makes of ones.
    batch = e.add("Shape", xs, start=0, end=1)
    sizes = e.add("Concat", [batch, e.numbers((*shape, *[1] * (len(node.shape) - len(shape))))], axis=0)
    ones = e.add("Expand", [e.constant(np.array(1.0)), sizes])
    return e.add("Mul", [*xs, e.add("Dropout", [ones, rate])])


EMITTERS: dict[str, Emit] = {
    "flatten": _flatten,
    "reshape": _reshape,
    "permute": _rearranged,
    "depth_to_space": _rearranged,
    "space_to_depth": _rearranged,
    "dropout": _dropped,
    "spatial_dropout": _dropped,
    "stochastic_depth": _dropped,
    "pad": _pad,
    "crop": _crop,
    "channel_shuffle": _channel_shuffle,
    "slice": _slice,
}
"""An emitter for each kind of layer that moves numbers."""
