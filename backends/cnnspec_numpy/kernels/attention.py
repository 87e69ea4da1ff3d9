"""Attention over positions, and embeddings of positions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.attention import Attention, PositionEmbedding
from cnnspec_numpy.kernels.base import Context, Result
from cnnspec_numpy.kernels.correlation import WORKSPACE


def attention(context: Context[Attention], x: Array) -> Result:
    """softmax(q·kᵀ/√d)·v in each head, between the projections; the weights are computed block by block."""
    n, c = x.shape[:2]
    heads, params = context.layer.heads, context.params
    tokens = x.reshape(n, c, -1).swapaxes(1, 2)  # [n, t, c]
    projected = tokens @ params["in_proj_weight"].T
    if "in_proj_bias" in params:
        projected += params["in_proj_bias"]
    parts = projected.reshape(n, -1, 3, heads, c // heads).transpose(2, 0, 3, 1, 4)  # [3, n, heads, t, d]
    q, k, v = np.ascontiguousarray(parts)
    q *= (c // heads) ** -0.5
    seen = np.empty_like(q)
    for block in _blocks(q):
        seen[block] = _weights(q, k, block) @ v[block[0]]
    joined = seen.transpose(0, 2, 1, 3).reshape(n, -1, c)  # [n, t, c]
    y = joined @ params["out_proj.weight"].T
    if "out_proj.bias" in params:
        y += params["out_proj.bias"]

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dtokens = np.ascontiguousarray(dy.reshape(n, c, -1).swapaxes(1, 2))
        dseen = (dtokens @ params["out_proj.weight"]).reshape(n, -1, heads, c // heads).transpose(0, 2, 1, 3)
        dparts = np.zeros_like(parts, order="C")
        dq, dk, dv = dparts
        for block in _blocks(q):
            sample = block[0]
            weights, d = _weights(q, k, block), dseen[block]
            dv[sample] += weights.swapaxes(1, 2) @ d
            dweights = d @ v[sample].swapaxes(1, 2)
            # The derivative of softmax: each score changes all weights of its row.
            dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True))
            dq[block] = dscores @ k[sample] * (c // heads) ** -0.5
            dk[sample] += dscores.swapaxes(1, 2) @ q[block]
        dprojected = dparts.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * c)
        gradients = {
            "in_proj_weight": dprojected.T @ tokens.reshape(-1, c),
            "out_proj.weight": dtokens.reshape(-1, c).T @ joined.reshape(-1, c),
        }
        if "in_proj_bias" in params:
            gradients["in_proj_bias"] = dprojected.sum(0)
        if "out_proj.bias" in params:
            gradients["out_proj.bias"] = dtokens.sum((0, 1))
        dx = (dprojected @ params["in_proj_weight"]).reshape(n, -1, c).swapaxes(1, 2).reshape(x.shape)
        return (dx,), gradients

    return y.swapaxes(1, 2).reshape(x.shape), backward


def _blocks(q: Array) -> Iterator[tuple[int, slice, slice]]:
    """Yield indices (sample, all heads, some positions) of q [n, heads, t, d], whose weights fit the workspace."""
    n, heads, t, _ = q.shape
    rows = max(1, WORKSPACE // (heads * t * q.itemsize))
    for sample in range(n):
        for first in range(0, t, rows):
            yield sample, slice(None), slice(first, first + rows)


def _weights(q: Array, k: Array, block: tuple[int, slice, slice]) -> Array:
    """Return the weights of all positions for those of a block: [heads, some, t]."""
    weights: Array = q[block] @ k[block[0]].swapaxes(1, 2)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return weights


def position_embedding(context: Context[PositionEmbedding], x: Array) -> Result:
    """x + weight."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy,), {"weight": dy.sum(0)}

    return x + context.params["weight"], backward
