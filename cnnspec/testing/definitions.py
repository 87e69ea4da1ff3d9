"""The definition of every layer, as the textbook writes it: plain loops over windows and numbers, in float64.

Backends are tested against these definitions, which are written to be read, not to be fast. Each takes one sample,
without a batch axis, as at inference. Sizes and padding are not computed here: they are `node.shape` and
`node.windows`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec.graph.graph import Node
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.dense import Dense, Flatten
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, LpPool, MaxPool
from cnnspec.layers.shape import ChannelShuffle, Crop, Pad, Slice, Upsample

Array = npt.NDArray[np.float64]
Params = Mapping[str, Array]
Definition = Callable[..., Array]
"""(layer, node, params, *inputs) -> output, all of one sample; `params` are the layer's arrays by their short names."""

DEFINITIONS: dict[str, Definition] = {}


def defines(function: Definition) -> Definition:
    """Register a definition under its name, which is the layer's kind (`slice_` is that of slice)."""
    DEFINITIONS[function.__name__.rstrip("_")] = function
    return function


def over_channels(vector: Array, x: Array) -> Array:
    """Return a vector [c] as an array that broadcasts to x [c, ...]."""
    return vector.reshape(-1, *[1] * (x.ndim - 1))


# Windows (textbook 1.1 to 1.4)


def bordered(node: Node, x: Array, value: float, beyond: float) -> Array:
    """Return x [c, h, w] with the layer's padding around it, and the elements that ceil rounding reaches beyond it."""
    padded = np.pad(x, ((0, 0), *((w.before, w.after) for w in node.windows)), constant_values=value)
    return np.pad(padded, ((0, 0), *((0, w.extra) for w in node.windows)), constant_values=beyond)


def under(node: Node, *position: int) -> Any:
    """Return the elements under the node's window at a position, as an index into the padded array."""
    starts = [(i * w.stride, w) for i, w in zip(position, node.windows, strict=True)]
    return ..., *(slice(start, start + (w.kernel - 1) * w.dilation + 1, w.dilation) for start, w in starts)


@defines
def conv(layer: Conv, node: Node, params: Params, x: Array) -> Array:
    """y[o, i, j] = Σ over c, a, b of weight[o, c, a, b] · x[c, i·s + a·d, j·s + b·d], and the bias.

    Textbook 1.1.1 for one channel, 1.2 for the stride s and the padding, 1.3 for the channels.
    """
    weight = params["weight"]
    if layer.flip:
        weight = np.flip(weight, tuple(range(2, weight.ndim)))
    x = bordered(node, x, 0.0, 0.0) if layer.padding_mode == "zeros" else with_border(node, x, layer.padding_mode, 0.0)
    y = np.zeros(node.shape)
    outputs, *positions = node.shape
    inputs_to_each = weight.shape[1]
    for at in np.ndindex(*positions):
        seen = x[under(node, *at)]
        for o in range(outputs):
            group = o // (outputs // layer.groups)
            own = seen[group * inputs_to_each : (group + 1) * inputs_to_each]
            y[o, *at] = (weight[o] * own).sum()
    return y + over_channels(params["bias"], y) if "bias" in params else y


@defines
def conv_transpose(layer: ConvTranspose, node: Node, params: Params, x: Array) -> Array:
    """Each x[c, i, j] adds x[c, i, j] · weight[c] to the window of the output at (i, j); the padding is cropped."""
    o = node.shape[0]
    y = np.zeros((o, *(w.before + w.out + w.after for w in node.windows)))
    inputs = len(x)
    outputs_of_each = o // layer.groups
    for c, *at in np.ndindex(*x.shape):
        group = c // (inputs // layer.groups)
        own = y[group * outputs_of_each : (group + 1) * outputs_of_each]
        own[under(node, *at)] += x[c, *at] * params["weight"][c]
    y = y[:, *(slice(w.before, w.before + w.out) for w in node.windows)]
    return y + over_channels(params["bias"], y) if "bias" in params else y


def pooled(node: Node, x: Array, reduce: Callable[[Array], float]) -> Array:
    """Return one number for every window of every channel."""
    y = np.zeros(node.shape)
    for c, *at in np.ndindex(*node.shape):
        y[c, *at] = reduce(x[c][under(node, *at)])
    return y


@defines
def max_pool(layer: MaxPool, node: Node, params: Params, x: Array) -> Array:
    """The maximum of each window; padding counts as −∞ (textbook 1.4.1)."""
    return pooled(node, bordered(node, x, -math.inf, -math.inf), np.max)


@defines
def avg_pool(layer: AvgPool, node: Node, params: Params, x: Array) -> Array:
    """The mean of each window, over the input and, with `count_padding`, the padding; never over the overhang."""
    total = pooled(node, bordered(node, x, 0.0, 0.0), np.sum)
    counts = pooled(node, bordered(node, np.ones_like(x), float(layer.count_padding), 0.0), np.sum)
    return total / counts


@defines
def lp_pool(layer: LpPool, node: Node, params: Params, x: Array) -> Array:
    """The p-th root of the sum of |x|^p over each window; padding counts as zeros."""
    return pooled(node, bordered(node, np.abs(x) ** layer.p, 0.0, 0.0), np.sum) ** (1 / layer.p)


@defines
def global_avg_pool(layer: GlobalAvgPool, node: Node, params: Params, x: Array) -> Array:
    """The mean of each channel."""
    return np.array([channel.mean() for channel in x])


@defines
def global_max_pool(layer: GlobalMaxPool, node: Node, params: Params, x: Array) -> Array:
    """The maximum of each channel."""
    return np.array([channel.max() for channel in x])


@defines
def adaptive_max_pool(layer: AdaptiveMaxPool, node: Node, params: Params, x: Array) -> Array:
    """The maximum of window (i, j), which reaches from ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉ on each axis."""
    return adaptively_pooled(node, x, np.max)


@defines
def adaptive_avg_pool(layer: AdaptiveAvgPool, node: Node, params: Params, x: Array) -> Array:
    """The mean of window (i, j), which reaches from ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉ on each axis."""
    return adaptively_pooled(node, x, np.mean)


def adaptively_pooled(node: Node, x: Array, reduce: Callable[[Array], float]) -> Array:
    """Return one number for every window of every channel, between the bounds of its position."""
    y = np.zeros(node.shape)
    for c, *at in np.ndindex(*node.shape):
        y[c, *at] = reduce(x[c, *(slice(*w.bounds[i]) for i, w in zip(at, node.windows, strict=True))])
    return y


# Vectors


@defines
def dense(layer: Dense, node: Node, params: Params, x: Array) -> Array:
    """y[o] = Σ over f of weight[o, f] · x[f], and the bias."""
    y = np.array([(row * x).sum() for row in params["weight"]])
    return y + params["bias"] if "bias" in params else y


@defines
def flatten(layer: Flatten, node: Node, params: Params, x: Array) -> Array:
    """The numbers channel by channel and row by row."""
    return np.array(list(x.flat))


# Rearranging


@defines
def upsample(layer: Upsample, node: Node, params: Params, x: Array) -> Array:
    """Each number repeated, or linear interpolation between the numbers, which lie at half-pixel centres."""
    y = np.zeros(node.shape)
    scales = layer.scales(node.shape)
    for c, *at in np.ndindex(*node.shape):
        if layer.mode == "nearest":
            y[c, *at] = x[c, *(i // scale for i, scale in zip(at, scales, strict=True))]
            continue
        places = zip(at, scales, x.shape[1:], strict=True)
        for corner in itertools.product(*(between(i, scale, n) for i, scale, n in places)):
            y[c, *at] += math.prod(share for _, share in corner) * x[c, *(i for i, _ in corner)]
    return y


def between(place: int, factor: int, n: int) -> list[tuple[int, float]]:
    """Return the two of n numbers between which the centre of an enlarged pixel lies, with the share of each."""
    centre = min(max((place + 0.5) / factor - 0.5, 0.0), n - 1.0)
    first = math.floor(centre)
    return [(first, 1 - (centre - first)), (min(first + 1, n - 1), centre - first)]


@defines
def pad(layer: Pad, node: Node, params: Params, x: Array) -> Array:
    """The input with a border."""
    return with_border(node, x, layer.mode, layer.value)


def with_border(node: Node, x: Array, mode: str, value: float) -> Array:
    """Return x [c, ...] with the padding of the node's windows, filled with a number or with copies."""
    sizes = x.shape[1:]
    y = np.zeros((len(x), *(w.before + n + w.after for w, n in zip(node.windows, sizes, strict=True))))
    for c, *at in np.ndindex(*y.shape):
        places = [i - w.before for i, w in zip(at, node.windows, strict=True)]
        if mode == "reflect":
            y[c, *at] = x[c, *map(mirrored, places, sizes)]
        elif mode == "edge":
            y[c, *at] = x[c, *(min(max(i, 0), n - 1) for i, n in zip(places, sizes, strict=True))]
        elif mode == "circular":
            y[c, *at] = x[c, *(i % n for i, n in zip(places, sizes, strict=True))]
        else:
            inside = all(0 <= i < n for i, n in zip(places, sizes, strict=True))
            y[c, *at] = x[c, *places] if inside else value
    return y


def mirrored(place: int, n: int) -> int:
    """Return an index outside 0 … n − 1 as its mirror image inside; the outermost number is not repeated."""
    return (n - 1) - abs((n - 1) - abs(place))


@defines
def crop(layer: Crop, node: Node, params: Params, x: Array) -> Array:
    """The middle of the input."""
    return x[:, *(slice(-w.before, w.out - w.before) for w in node.windows)]


@defines
def channel_shuffle(layer: ChannelShuffle, node: Node, params: Params, x: Array) -> Array:
    """Channel i of the output is channel (i mod g)·(c/g) + ⌊i/g⌋ of the input."""
    g, c = layer.groups, len(x)
    return np.stack([x[(i % g) * (c // g) + i // g] for i in range(c)])


@defines
def slice_(layer: Slice, node: Node, params: Params, x: Array) -> Array:
    """The elements from the first up to, not including, the end, by the step, along each axis."""
    names = {1: "c", 2: "cl", 3: "chw", 4: "cdhw"}[x.ndim]
    taken = {name[0]: getattr(layer, name) for name in ("channels", "length", "depth", "height", "width")}
    for axis, name in enumerate(names):
        if taken[name] is not None:
            first, end, step = (*taken[name], 1)[:3]
            x = np.take(x, [i for i in range(first, end) if (i - first) % step == 0], axis)
    return x
