"""Layers that put the same numbers into another shape or order."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from torch import Tensor

from cnnspec.layers.rearrange import DepthToSpace, Permute, SpaceToDepth
from cnnspec_torch.layer import AnyLayer, LayerModule


def reshape(module: AnyLayer, x: Tensor) -> Tensor:
    return x.reshape(len(x), *module.node.shape)


def permute(module: LayerModule[Permute | DepthToSpace | SpaceToDepth], x: Tensor) -> Tensor:
    split, order = module.layer.moves(module.node.in_shapes[0])
    return x.reshape(len(x), *split).permute(0, *(axis + 1 for axis in order)).reshape(len(x), *module.node.shape)


def depth_to_space(module: LayerModule[DepthToSpace], x: Tensor) -> Tensor:
    return permute(module, x)


def space_to_depth(module: LayerModule[SpaceToDepth], x: Tensor) -> Tensor:
    return permute(module, x)
