"""Attention and embeddings of positions as nodes of an ONNX model."""

from __future__ import annotations

import math
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own


def _attention(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    c, t = node.shape[0], math.prod(node.shape[1:])
    d = c // layer.heads

    def projected(x: str, prefix: str) -> str:
        y = e.add("MatMul", [x, e.transposed(own[f"{prefix}weight"])])
        bias = e.arrays_of(own, f"{prefix}bias")
        return e.add("Add", [y, *bias]) if bias else y

    tokens = e.add("Transpose", [e.reshape(xs[0], c, t)], perm=[0, 2, 1])
    every = e.reshape(projected(tokens, "in_proj_"), t, 3, layer.heads, d)
    parts = []
    for part in range(3):
        one = e.add("Gather", [every, e.constant(part, "int64")], axis=2)
        parts.append(e.add("Transpose", [one], perm=[0, 2, 1, 3] if part != 1 else [0, 2, 3, 1]))
    scores = e.add("Mul", [e.add("MatMul", parts[:2]), e.constant(d**-0.5)])
    seen = e.add("MatMul", [e.add("Softmax", [scores], axis=-1), parts[2]])
    joined = e.reshape(e.add("Transpose", [seen], perm=[0, 2, 1, 3]), t, c)
    return e.reshape(e.add("Transpose", [projected(joined, "out_proj.")], perm=[0, 2, 1]), *node.shape)


def _position_embedding(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Add", [*xs, *e.arrays_of(own, "weight")])


EMITTERS: dict[str, Emit] = {"attention": _attention, "position_embedding": _position_embedding}
"""An emitter for each kind of layer that relates positions."""
