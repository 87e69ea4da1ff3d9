"""Activations and merges as torch.nn modules."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.bench.torch_parts import Apply, Make, Parameters, loaded, plain, with_field
from cnnspec.graph.graph import Node

# Activations


def _prelu(node: Node, own: Parameters) -> nn.Module:
    return loaded(nn.PReLU(own["weight"].numel()), own)


def _softplus(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    return nn.Softplus(layer.beta)


def _clip(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    low, high = layer.min, layer.max
    return Apply(lambda x: x.clamp(low, high))


def _hard_sigmoid(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    slope, offset = layer.slope, layer.offset
    return nn.Hardsigmoid() if layer == type(layer)() else Apply(lambda x: (slope * x + offset).clamp(0, 1))


def _power(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    exponent = layer.exponent
    return Apply(lambda x: x**exponent)


def _along_axis(make: Callable[[int], nn.Module]) -> Make:
    def module(node: Node, own: Parameters) -> nn.Module:
        layer: Any = node.layer
        return make(1 + layer.position(node.shape))

    return module


# Merges


def _broadcast(function: Callable[[Tensor, Tensor], Tensor]) -> Make:
    """Return the maker of a function of the branches, one after the other, that repeats axes of size one."""

    def make(node: Node, own: Parameters) -> nn.Module:
        rank = 1 + len(node.shape)
        return Apply(lambda *xs: reduce(function, (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs)))

    return make


def _mean(node: Node, own: Parameters) -> nn.Module:
    total, count = _broadcast(torch.add)(node, own), len(node.inputs)
    return Apply(lambda *xs: total(*xs) / count)


def _matmul(node: Node, own: Parameters) -> nn.Module:
    rank = 1 + len(node.shape)
    return Apply(lambda *xs: torch.matmul(*(x.reshape(len(x), *[1] * (rank - x.ndim), *x.shape[1:]) for x in xs)))


def _concat(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    axis = 1 + layer.position(node.shape)
    return Apply(lambda *xs: torch.cat(xs, axis))


MODULES: dict[str, Make] = {
    "relu": plain(nn.ReLU),
    "relu6": plain(nn.ReLU6),
    "leaky_relu": with_field(nn.LeakyReLU, "slope"),
    "prelu": _prelu,
    "elu": with_field(nn.ELU, "alpha"),
    "selu": plain(nn.SELU),
    "gelu": with_field(lambda approximate: nn.GELU(approximate), "approximate"),
    "silu": plain(nn.SiLU),
    "mish": plain(nn.Mish),
    "sigmoid": plain(nn.Sigmoid),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": plain(nn.Tanh),
    "hard_swish": plain(nn.Hardswish),
    "softplus": _softplus,
    "softmax": _along_axis(nn.Softmax),
    "log_softmax": _along_axis(nn.LogSoftmax),
    "clip": _clip,
    "hard_tanh": _clip,
    "thresholded_relu": with_field(lambda alpha: nn.Threshold(alpha, 0.0), "alpha"),
    "celu": with_field(nn.CELU, "alpha"),
    "softsign": plain(nn.Softsign),
    "log_sigmoid": plain(nn.LogSigmoid),
    "abs": plain(lambda: Apply(torch.abs)),
    "exp": plain(lambda: Apply(torch.exp)),
    "log": plain(lambda: Apply(torch.log)),
    "sqrt": plain(lambda: Apply(torch.sqrt)),
    "power": _power,
    "add": _broadcast(torch.add),
    "multiply": _broadcast(torch.mul),
    "subtract": _broadcast(torch.sub),
    "divide": _broadcast(torch.div),
    "maximum": _broadcast(torch.maximum),
    "minimum": _broadcast(torch.minimum),
    "mean": _mean,
    "matmul": _matmul,
    "concat": _concat,
}
"""A module for each kind of activation and merge, of its node and its parameters by key."""
