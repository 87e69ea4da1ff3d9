"""Activations."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.activation import Elu, Gelu, HardSigmoid, LeakyRelu, LogSoftmax, Softmax, Softplus
from cnnspec_torch.layer import AnyLayer, LayerModule


def relu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.relu(x)


def relu6(module: AnyLayer, x: Tensor) -> Tensor:
    return F.relu6(x)


def leaky_relu(module: LayerModule[LeakyRelu], x: Tensor) -> Tensor:
    return F.leaky_relu(x, module.layer.slope)


def prelu(module: AnyLayer, x: Tensor, weight: Tensor) -> Tensor:
    return F.prelu(x, weight)


def elu(module: LayerModule[Elu], x: Tensor) -> Tensor:
    return F.elu(x, module.layer.alpha)


def selu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.selu(x)


def gelu(module: LayerModule[Gelu], x: Tensor) -> Tensor:
    return F.gelu(x, approximate=module.layer.approximate)


def silu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.silu(x)


def mish(module: AnyLayer, x: Tensor) -> Tensor:
    return F.mish(x)


def sigmoid(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def hard_sigmoid(module: LayerModule[HardSigmoid], x: Tensor) -> Tensor:
    # The derivative of torch's own function is 1/6 rounded to float32, in float64 too.
    if x.dtype != torch.float64 and module.layer == HardSigmoid():
        return F.hardsigmoid(x)
    return F.hardtanh(x + module.layer.shift, 0, module.layer.width) / module.layer.width


def tanh(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.tanh(x)


def hard_swish(module: AnyLayer, x: Tensor) -> Tensor:
    return F.hardswish(x)


def softplus(module: LayerModule[Softplus], x: Tensor) -> Tensor:
    # Beyond the threshold torch returns x itself; at its default of 20 that is wrong by 2e-9.
    return F.softplus(x, module.layer.beta, threshold=40)


def softmax(module: LayerModule[Softmax], x: Tensor) -> Tensor:
    return x.softmax(1 + module.layer.position(module.node.shape))


def log_softmax(module: LayerModule[LogSoftmax], x: Tensor) -> Tensor:
    return x.log_softmax(1 + module.layer.position(module.node.shape))
