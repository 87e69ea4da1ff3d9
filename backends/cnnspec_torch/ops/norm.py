"""Normalisation."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.norm import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm, Scale
from cnnspec_torch import distributed
from cnnspec_torch.layer import LayerModule


def batch_norm(
    module: LayerModule[BatchNorm], x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor
) -> Tensor:
    momentum, eps = module.layer.momentum, module.layer.eps
    if module.training and module.synchronised:
        return distributed.batch_norm(x, running_mean, running_var, weight, bias, momentum, eps)
    return F.batch_norm(x, running_mean, running_var, weight, bias, module.training, momentum, eps)


def layer_norm(module: LayerModule[LayerNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if module.layer.axes == "all":
        return F.layer_norm(x, weight.shape, weight, bias, module.layer.eps)
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, module.layer.eps).movedim(-1, 1)


def group_norm(module: LayerModule[GroupNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, module.layer.groups, weight, bias, module.layer.eps)


def local_response_norm(module: LayerModule[LocalResponseNorm], x: Tensor) -> Tensor:
    return F.local_response_norm(x, module.layer.size, module.layer.alpha, module.layer.beta, module.layer.k)


def scale(module: LayerModule[Scale], x: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return x * module.layer.value
    return x * weight.reshape(-1, *[1] * (x.ndim - 2))
