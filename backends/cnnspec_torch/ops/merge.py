"""Merges."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor

from cnnspec.layers.merge import Concat
from cnnspec_torch.layer import AnyLayer, LayerModule


def add(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.add, xs)


def multiply(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.mul, _images(module, xs))


def subtract(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.sub, _images(module, xs))


def divide(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.div, _images(module, xs))


def maximum(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.maximum, _images(module, xs))


def minimum(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.minimum, _images(module, xs))


def mean(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.add, _images(module, xs)) / len(xs)


def _images(module: AnyLayer, xs: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the inputs with the axes of the output, of size one behind those that they have."""
    rank = 1 + len(module.node.shape)
    return (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs)


def matmul(module: AnyLayer, a: Tensor, b: Tensor) -> Tensor:
    rank = max(a.ndim, b.ndim)
    # Not len(x), which a trace takes for a constant.
    a, b = (x.reshape(x.shape[0], *[1] * (rank - x.ndim), *x.shape[1:]) for x in (a, b))
    return a @ b


def concat(module: LayerModule[Concat], *xs: Tensor) -> Tensor:
    return torch.cat(xs, 1 + module.layer.position(module.node.shape))
