"""Layers that repeat, move, add or drop numbers."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.shape import ChannelShuffle, Pad, Slice, Upsample
from cnnspec_torch.layer import AnyLayer, LayerModule
from cnnspec_torch.ops.padding import bordered, pad_axes


def upsample(module: LayerModule[Upsample], x: Tensor) -> Tensor:
    size = module.node.shape[1:]
    if module.layer.mode != "nearest":
        return F.interpolate(x, size, mode=LINEAR[len(size)], align_corners=False)
    # Torch's `nearest` finds the source by a rounded float32 product; `nearest-exact` stays clear of the edges.
    return F.interpolate(x, size, mode="nearest-exact")


LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def pad(module: LayerModule[Pad], x: Tensor) -> Tensor:
    pads, layer = [(w.before, w.after) for w in module.node.windows], module.layer
    if layer.mode == "constant":
        return pad_axes(x, pads, layer.value)
    return bordered(x, pads, layer.mode)


def crop(module: AnyLayer, x: Tensor) -> Tensor:
    return x[:, :, *(slice(-w.before, w.out - w.before) for w in module.node.windows)]


def channel_shuffle(module: LayerModule[ChannelShuffle], x: Tensor) -> Tensor:
    return torch.channel_shuffle(x, module.layer.groups)


def slice_(module: LayerModule[Slice], x: Tensor) -> Tensor:
    return x[:, *module.layer.parts(x.shape[1:])]
