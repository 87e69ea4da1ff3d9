"""The operators of borders, and of layers that sample between positions or weigh them against each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Node


def bordered(e: Emitter, node: Node, xs: Names, mode: str, value: float = 0.0) -> str:
    """Append the border of a node with windows, and return the name of the output."""
    before, after = ([getattr(w, side) for w in node.windows] for side in ("before", "after"))
    pads = e.numbers([0, 0, *before, 0, 0, *after])
    mode = {"circular": "wrap", "zeros": "constant"}.get(mode, mode)
    return e.add("Pad", [*xs, pads, e.constant(np.array(value))], mode=mode)


def _resize(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    rank = len(node.shape) - 1
    if layer.method == "cubic" and rank != 2:
        raise BackendError(f"ONNX Runtime has no cubic resize of anything but images (`{node.name}`)")
    fields: dict[str, Any] = {"mode": layer.method, "coordinate_transformation_mode": layer.coordinates}
    if layer.scale is None or layer.coordinates == "align_corners":
        inputs, fields["axes"] = [*xs, "", "", e.numbers(node.shape[1:])], list(range(2, 2 + rank))
    else:
        factors = [float(s.scale) for s in layer.samplings(node.in_shapes[0])]
        inputs = [*xs, "", e.constant((1, 1, *factors), dtype=np.float32)]
    if layer.method == "nearest":
        fields["nearest_mode"] = layer.rounding
    if layer.method == "cubic":
        fields["cubic_coeff_a"] = layer.cubic_coeff
    return e.add("Resize", inputs, **fields)


def _lp_pool(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    windows = node.windows
    fields: dict[str, Any] = {
        "kernel_shape": [w.kernel for w in windows],
        "strides": [w.stride for w in windows],
        "dilations": [w.dilation for w in windows],
        "pads": [w.before for w in windows] + [w.after + w.extra for w in windows],
    }
    return e.add("LpPool", xs, p=layer.p, **fields)


def _attention(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c, t = node.shape[0], math.prod(node.shape[1:])
    d = c // layer.heads

    def projected(x: str, prefix: str) -> str:
        y = e.add("MatMul", [x, e.constant(e.arrays[own[f"{prefix}weight"]].T)])
        bias = f"{prefix}bias"
        return e.add("Add", [y, e.constant(e.arrays[own[bias]])]) if bias in own else y

    tokens = e.add("Transpose", [e.reshape(xs[0], c, t)], perm=[0, 2, 1])
    every = e.reshape(projected(tokens, "in_proj_"), t, 3, layer.heads, d)
    parts = []
    for part in range(3):
        one = e.add("Gather", [every, e.constant(np.array(part), dtype=np.int64)], axis=2)
        parts.append(e.add("Transpose", [one], perm=[0, 2, 1, 3] if part != 1 else [0, 2, 3, 1]))
    scores = e.add("Mul", [e.add("MatMul", parts[:2]), e.constant(np.array(d**-0.5))])
    seen = e.add("MatMul", [e.add("Softmax", [scores], axis=-1), parts[2]])
    joined = e.reshape(e.add("Transpose", [seen], perm=[0, 2, 1, 3]), t, c)
    return e.reshape(e.add("Transpose", [projected(joined, "out_proj.")], perm=[0, 2, 1]), *node.shape)


def _position_embedding(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Add", [*xs, *e.arrays_of(own, "weight")])


EMITTERS_OF_POSITIONS: dict[str, Emit] = {
    "resize": _resize,
    "lp_pool": _lp_pool,
    "attention": _attention,
    "position_embedding": _position_embedding,
}
"""An emitter for each kind of layer, as in `model`."""
