"""The definitions of norms, drops and activations, which do not depend on the number of axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.layers import activation, norm
from cnnspec.layers.dropout import Dropped
from cnnspec.layers.reduce import Reduce
from cnnspec.testing.definitions import DEFINITIONS, Array, Params, defines, over_channels


def elementwise(function: Callable[[Any, float], float]) -> Callable[[Any, float], float]:
    """Register a function of single numbers, (layer, number) -> number, as the definition of an elementwise layer."""
    DEFINITIONS[function.__name__.rstrip("_")] = lambda layer, node, params, x: each(partial(function, layer), x)
    return function


def each(function: Callable[[float], float], x: Array) -> Array:
    """Apply the function to every number."""
    return np.array([function(float(v)) for v in x.flat]).reshape(x.shape)


# Dropping


@defines
def dropout(layer: Dropped, node: Node, params: Params, x: Array) -> Array:
    """The identity: numbers are dropped only in training."""
    return x


DEFINITIONS["spatial_dropout"] = DEFINITIONS["stochastic_depth"] = dropout


# Normalisation


def standardized(x: Array, eps: float) -> Array:
    """(x − mean) / √(variance + eps), over all of x."""
    mean = x.mean()
    variance = ((x - mean) ** 2).mean()
    return np.asarray((x - mean) / math.sqrt(variance + eps))


@defines
def batch_norm(layer: norm.BatchNorm, node: Node, params: Params, x: Array) -> Array:
    """weight · (x − running_mean) / √(running_var + eps) + bias, channel by channel."""
    y = np.zeros(x.shape)
    for c, channel in enumerate(x):
        centred = channel - params["running_mean"][c]
        y[c] = params["weight"][c] * centred / math.sqrt(params["running_var"][c] + layer.eps) + params["bias"][c]
    return y


@defines
def layer_norm(layer: norm.LayerNorm, node: Node, params: Params, x: Array) -> Array:
    """weight · (x − mean) / √(variance + eps) + bias, the mean over the axes, at each place along the others."""
    normal = over_axes(layer, x, lambda part: standardized(part, layer.eps))
    return params["weight"].reshape(sizes_of(layer, x)) * normal + params["bias"].reshape(sizes_of(layer, x))


@defines
def rms_norm(layer: norm.RmsNorm, node: Node, params: Params, x: Array) -> Array:
    """weight · x / √(mean of x² + eps), the mean over the axes, at each place along the others."""
    normal = over_axes(layer, x, lambda part: np.asarray(part / math.sqrt((part**2).mean() + layer.eps)))
    return params["weight"].reshape(sizes_of(layer, x)) * normal


def axis_names(x: Array) -> tuple[str, ...]:
    """Return the names of the axes of a sample."""
    return {
        1: ("channels",),
        2: ("channels", "length"),
        3: ("channels", "height", "width"),
        4: ("channels", "depth", "height", "width"),
    }[x.ndim]


def chosen(layer: norm.OverAxes | Reduce, x: Array) -> list[bool]:
    """Return whether each axis of a sample is one of the layer's."""
    return [layer.axes == ("all",) or name in layer.axes for name in axis_names(x)]


def sizes_of(layer: norm.OverAxes | Reduce, x: Array) -> list[int]:
    """Return the sizes of the layer's axes, and 1 for the others."""
    return [n if own else 1 for n, own in zip(x.shape, chosen(layer, x), strict=True)]


def over_axes(layer: norm.OverAxes | Reduce, x: Array, function: Callable[[Array], Array]) -> Array:
    """Apply a function to the numbers along the layer's axes, at each place along the others."""
    y = np.zeros(x.shape)
    others = [n if not own else 1 for n, own in zip(x.shape, chosen(layer, x), strict=True)]
    for place in np.ndindex(*others):
        at = tuple(slice(None) if own else i for i, own in zip(place, chosen(layer, x), strict=True))
        y[at] = function(x[at])
    return y


@defines
def reduce(layer: Reduce, node: Node, params: Params, x: Array) -> Array:
    """The mean, the sum, or the largest or smallest of the numbers along the axes, at each place along the others."""
    of: Any = {"mean": lambda part: part.sum() / part.size, "sum": np.sum, "max": np.max, "min": np.min}[layer.mode]
    return over_axes(layer, x, of)[tuple(slice(0, 1) if own else slice(None) for own in chosen(layer, x))]


@defines
def instance_norm(layer: norm.InstanceNorm, node: Node, params: Params, x: Array) -> Array:
    """weight · (x − mean) / √(variance + eps) + bias, the mean over the positions of each channel."""
    y = np.stack([standardized(channel, layer.eps) for channel in x])
    return over_channels(params["weight"], x) * y + over_channels(params["bias"], x) if layer.affine else y


@defines
def group_norm(layer: norm.GroupNorm, node: Node, params: Params, x: Array) -> Array:
    """weight · (x − mean) / √(variance + eps) + bias, the mean over the channels of a group, at all positions."""
    groups = [standardized(group, layer.eps) for group in np.split(x, layer.groups)]
    return over_channels(params["weight"], x) * np.concatenate(groups) + over_channels(params["bias"], x)


@defines
def local_response_norm(layer: norm.LocalResponseNorm, node: Node, params: Params, x: Array) -> Array:
    """y[c] = x[c] / (k + alpha/size · Σ x²)^beta, the sum over ⌊size/2⌋ channels before c to ⌊(size − 1)/2⌋ after."""
    y = np.zeros(x.shape)
    for c in range(len(x)):
        around = x[max(0, c - layer.size // 2) : c + (layer.size - 1) // 2 + 1]
        y[c] = x[c] / (layer.k + layer.alpha / layer.size * (around**2).sum(axis=0)) ** layer.beta
    return y


@defines
def scale(layer: norm.Scale, node: Node, params: Params, x: Array) -> Array:
    """Each channel times its weight, or everything times the fixed value."""
    return x * over_channels(params["weight"], x) if layer.learn else x * layer.value


@defines
def shift(layer: norm.Shift, node: Node, params: Params, x: Array) -> Array:
    """Each channel plus its bias, or everything plus the fixed value."""
    return x + over_channels(params["bias"], x) if layer.learn else x + layer.value


# Activations


@elementwise
def relu(layer: activation.Relu, x: float) -> float:
    """max(x, 0)."""
    return max(x, 0.0)


@elementwise
def relu6(layer: activation.Relu6, x: float) -> float:
    """min(max(x, 0), 6)."""
    return min(max(x, 0.0), 6.0)


@elementwise
def leaky_relu(layer: activation.LeakyRelu, x: float) -> float:
    """x, or slope·x below zero."""
    return x if x > 0 else layer.slope * x


@defines
def prelu(layer: activation.Prelu, node: Node, params: Params, x: Array) -> Array:
    """x, or weight·x below zero, with the weight of the channel."""
    return np.where(x > 0, x, over_channels(params["weight"], x) * x)


@elementwise
def elu(layer: activation.Elu, x: float) -> float:
    """x, or alpha·(exp(x) − 1) below zero."""
    return x if x > 0 else layer.alpha * math.expm1(x)


@elementwise
def selu(layer: activation.Selu, x: float) -> float:
    """λ·x, or λ·α·(exp(x) − 1) below zero, with the constants of the paper's appendix."""
    factor, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return factor * (x if x > 0 else alpha * math.expm1(x))


@elementwise
def gelu(layer: activation.Gelu, x: float) -> float:
    """x·Φ(x), with Φ(x) = (1 + erf(x/√2)) / 2, or by its tanh form."""
    if layer.approximate == "tanh":
        return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


@elementwise
def silu(layer: activation.Silu, x: float) -> float:
    """x / (1 + exp(−x))."""
    return x / (1 + math.exp(-x))


@elementwise
def mish(layer: activation.Mish, x: float) -> float:
    """x·tanh(log(1 + exp(x)))."""
    return x * math.tanh(math.log1p(math.exp(x)))


@elementwise
def sigmoid(layer: activation.Sigmoid, x: float) -> float:
    """1 / (1 + exp(−x))."""
    return 1 / (1 + math.exp(-x))


@elementwise
def hard_sigmoid(layer: activation.HardSigmoid, x: float) -> float:
    """min(max(slope·x + offset, 0), 1)."""
    return min(max(layer.slope * x + layer.offset, 0.0), 1.0)


@elementwise
def tanh(layer: activation.Tanh, x: float) -> float:
    """(exp(x) − exp(−x)) / (exp(x) + exp(−x))."""
    return math.tanh(x)


@elementwise
def hard_swish(layer: activation.HardSwish, x: float) -> float:
    """x·min(max(x + 3, 0), 6) / 6."""
    return x * min(max(x + 3, 0.0), 6.0) / 6


@elementwise
def softplus(layer: activation.Softplus, x: float) -> float:
    """log(1 + exp(beta·x)) / beta."""
    return math.log1p(math.exp(layer.beta * x)) / layer.beta


@defines
def softmax(layer: activation.Softmax, node: Node, params: Params, x: Array) -> Array:
    """exp(x) / Σ exp(x) along the axis."""
    return np.asarray(np.exp(x) / np.exp(x).sum(axis=axis_names(x).index(layer.axis), keepdims=True))


@defines
def log_softmax(layer: activation.LogSoftmax, node: Node, params: Params, x: Array) -> Array:
    """x − log Σ exp(x) along the axis."""
    return np.asarray(x - np.log(np.exp(x).sum(axis=axis_names(x).index(layer.axis), keepdims=True)))
