"""Normalisation."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.norm import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    OverAxes,
    RmsNorm,
    Scale,
    Shift,
)
from cnnspec_torch import distributed
from cnnspec_torch.layer import LayerModule


def batch_norm(
    module: LayerModule[BatchNorm], x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor
) -> Tensor:
    momentum, eps = 0.0 if module.recomputing else module.layer.momentum, module.layer.eps
    if module.training and module.synchronised:
        return distributed.batch_norm(x, running_mean, running_var, weight, bias, momentum, eps)
    return F.batch_norm(x, running_mean, running_var, weight, bias, module.training, momentum, eps)


def layer_norm(module: LayerModule[LayerNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, weight.shape, weight, bias, module.layer.eps)

    return _over_last(norm, module.layer, x)


def rms_norm(module: LayerModule[RmsNorm], x: Tensor, weight: Tensor) -> Tensor:
    def norm(x: Tensor) -> Tensor:
        return F.rms_norm(x, list(weight.shape), weight, module.layer.eps)

    return _over_last(norm, module.layer, x)


def _over_last(norm: Callable[[Tensor], Tensor], layer: OverAxes, x: Tensor) -> Tensor:
    """Apply a norm over the last axes to those of the layer."""
    axes = [1 + axis for axis in layer.positions(tuple(x.shape[1:]))]
    last = list(range(x.ndim - len(axes), x.ndim))
    return norm(x) if axes == last else norm(x.movedim(axes, last)).movedim(last, axes)


def group_norm(module: LayerModule[GroupNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, module.layer.groups, weight, bias, module.layer.eps)


def instance_norm(
    module: LayerModule[InstanceNorm], x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    # F.instance_norm refuses channels of one position.
    return F.group_norm(x, x.shape[1], weight, bias, module.layer.eps)


def local_response_norm(module: LayerModule[LocalResponseNorm], x: Tensor) -> Tensor:
    return F.local_response_norm(x, module.layer.size, module.layer.alpha, module.layer.beta, module.layer.k)


def scale(module: LayerModule[Scale], x: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return x * module.layer.value
    return x * weight.reshape(-1, *[1] * (x.ndim - 2))


def shift(module: LayerModule[Shift], x: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is None:
        return x + module.layer.value
    return x + bias.reshape(-1, *[1] * (x.ndim - 2))
