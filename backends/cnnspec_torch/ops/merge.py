"""Merges."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from cnnspec_torch.layer import AnyLayer


def add(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.add, xs)


def multiply(module: AnyLayer, *xs: Tensor) -> Tensor:
    rank = 1 + len(module.node.shape)
    return reduce(torch.mul, (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs))


def concat(module: AnyLayer, *xs: Tensor) -> Tensor:
    return torch.cat(xs, 1)
