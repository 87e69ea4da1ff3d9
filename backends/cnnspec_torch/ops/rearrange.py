"""Layers that give the same numbers another shape, or another order of the axes."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from torch import Tensor

from cnnspec.layers.rearrange import Reordered
from cnnspec_torch.layer import LayerModule


def reshape(module: LayerModule[Reordered], x: Tensor) -> Tensor:
    sizes, order = module.layer.split(module.node.in_shapes[0])
    return x.reshape(-1, *sizes).permute(0, *(1 + axis for axis in order)).reshape(-1, *module.node.shape)


permute = depth_to_space = space_to_depth = reshape
