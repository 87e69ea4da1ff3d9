"""The definitions of the layers that sample between positions, or weigh them against each other."""

from __future__ import annotations

import itertools
import math

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.layers.attention import Attention, PositionEmbedding
from cnnspec.layers.resize import Resize
from cnnspec.testing.definitions import Array, Params, defines


@defines
def resize(layer: Resize, node: Node, params: Params, x: Array) -> Array:
    """Each sample from the numbers around its place; beyond an end lies the last number."""
    y = np.zeros(node.shape)
    sizes = zip(x.shape[1:], node.shape[1:], strict=True)
    axes = [[around(layer, i, n, out, axis) for i in range(out)] for axis, (n, out) in enumerate(sizes)]
    for c, *at in np.ndindex(*y.shape):
        for taps in itertools.product(*(axis[i] for axis, i in zip(axes, at, strict=True))):
            place = [min(max(i, 0), n - 1) for (i, _), n in zip(taps, x.shape[1:], strict=True)]
            y[c, *at] += math.prod(weight for _, weight in taps) * x[c, *place]
    return y


def around(layer: Resize, i: int, n: int, out: int, axis: int) -> list[tuple[int, float]]:
    """Return the indices around sample i of an axis, and their weights."""
    given = layer.scale[axis] if isinstance(layer.scale, tuple) else layer.scale
    scale = given if given is not None else out / n
    place = {
        "half_pixel": (i + 0.5) / scale - 0.5,
        "align_corners": i * (n - 1) / (out - 1) if out > 1 else 0.0,
        "asymmetric": i / scale,
    }[layer.coordinates]
    if layer.mode == "nearest":
        place = round(place, 9)  # so that 0.5 stays half way between two
        rounded = {
            "floor": math.floor(place),
            "ceil": math.ceil(place),
            "round_prefer_floor": math.ceil(place - 0.5),
            "round_prefer_ceil": math.floor(place + 0.5),
        }
        return [(rounded[layer.rounding], 1.0)]
    near = range(math.floor(place) - 1, math.floor(place) + 3)
    if layer.mode in ("cubic", "bicubic"):
        return [(j, cubic(abs(place - j), layer.cubic_coeff)) for j in near]
    return [(j, max(0.0, 1 - abs(place - j))) for j in near]


def cubic(t: float, a: float) -> float:
    """The convolution kernel of Keys 1981: two cubic polynomials, of the distances up to 1 and from 1 to 2."""
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


@defines
def attention(layer: Attention, node: Node, params: Params, x: Array) -> Array:
    """Σ over positions j of softmax over j of (q_i · k_j / √d) · v_j, head by head, between the projections."""
    c, d = len(x), len(x) // layer.heads
    tokens = x.reshape(c, -1).T
    zeros = np.zeros(3 * c)
    projected = np.array([params["in_proj_weight"] @ token for token in tokens]) + params.get("in_proj_bias", zeros)
    y = np.zeros(tokens.shape)
    for head in range(layer.heads):
        q, k, v = (projected[:, part * c + head * d : part * c + (head + 1) * d] for part in range(3))
        for i, query in enumerate(q):
            likeness = np.exp([query @ key / math.sqrt(d) for key in k])
            y[i, head * d : (head + 1) * d] = (likeness / likeness.sum()) @ v
    y = np.array([params["out_proj.weight"] @ token for token in y]) + params.get("out_proj.bias", zeros[:c])
    return y.T.reshape(x.shape)


@defines
def position_embedding(layer: PositionEmbedding, node: Node, params: Params, x: Array) -> Array:
    """x and the number of its place."""
    return x + params["weight"]
