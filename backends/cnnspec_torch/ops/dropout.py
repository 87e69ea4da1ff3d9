"""Layers that drop numbers at random in training."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.dropout import Dropout, Dropped, SpatialDropout, StochasticDepth
from cnnspec_torch.layer import LayerModule


def dropout(module: LayerModule[Dropout], x: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        return x * mask / (1 - module.layer.rate)
    return F.dropout(x, module.layer.rate, module.training)


def spatial_dropout(module: LayerModule[SpatialDropout], x: Tensor, mask: Tensor | None = None) -> Tensor:
    return _dropped(module, x, mask)


def stochastic_depth(module: LayerModule[StochasticDepth], x: Tensor, mask: Tensor | None = None) -> Tensor:
    return _dropped(module, x, mask)


def _dropped(module: LayerModule[Dropped], x: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        if not module.training:
            return x
        shape = module.layer.mask_shape(tuple(x.shape[1:]))
        mask = torch.rand(len(x), *shape, device=x.device) >= module.layer.rate
    return x * mask / (1 - module.layer.rate)
