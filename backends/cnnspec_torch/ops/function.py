"""Further functions of each number."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.function import Celu, Clip, HardTanh, Power, ThresholdedRelu
from cnnspec_torch.layer import AnyLayer, LayerModule


def clip(module: LayerModule[Clip], x: Tensor) -> Tensor:
    # As hard_tanh does, and clamp does not: at the limits the gradient is 0.
    return F.hardtanh(x, *module.layer.limits)


def hard_tanh(module: LayerModule[HardTanh], x: Tensor) -> Tensor:
    return F.hardtanh(x, *module.layer.limits)


def thresholded_relu(module: LayerModule[ThresholdedRelu], x: Tensor) -> Tensor:
    return F.threshold(x, module.layer.alpha, 0.0)


def celu(module: LayerModule[Celu], x: Tensor) -> Tensor:
    return F.celu(x, module.layer.alpha)


def softsign(module: AnyLayer, x: Tensor) -> Tensor:
    return F.softsign(x)


def log_sigmoid(module: AnyLayer, x: Tensor) -> Tensor:
    return F.logsigmoid(x)


def abs_(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.abs(x)


def exp(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.exp(x)


def log(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.log(x)


def sqrt(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.sqrt(x)


def power(module: LayerModule[Power], x: Tensor) -> Tensor:
    return torch.pow(x, module.layer.exponent)
