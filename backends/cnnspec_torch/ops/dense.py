"""Dense layers, flattening and dropout."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.dense import Dropout
from cnnspec_torch.layer import AnyLayer, LayerModule


def dense(module: AnyLayer, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def flatten(module: AnyLayer, x: Tensor) -> Tensor:
    return x.flatten(1)


def dropout(module: LayerModule[Dropout], x: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        return x * mask / (1 - module.layer.rate)
    return F.dropout(x, module.layer.rate, module.training)
