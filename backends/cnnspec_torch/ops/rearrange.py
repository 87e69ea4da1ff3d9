"""Layers that give the same numbers another shape, or another order of the axes."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import math

from torch import Tensor

from cnnspec.layers.rearrange import DepthToSpace, Permute, SpaceToDepth
from cnnspec_torch.layer import AnyLayer, LayerModule


def reshape(module: AnyLayer, x: Tensor) -> Tensor:
    return x.reshape(-1, *module.node.shape)


def permute(module: LayerModule[Permute], x: Tensor) -> Tensor:
    return x.permute(0, *(1 + axis for axis in module.layer.order(module.node.in_shapes[0]))).contiguous()


def depth_to_space(module: LayerModule[DepthToSpace], x: Tensor) -> Tensor:
    shape = module.node.shape
    blocks, rank = module.layer.blocks(shape), len(shape) - 1
    crd = module.layer.mode == "crd"
    split = (shape[0], *blocks) if crd else (*blocks, shape[0])
    order = [0, 1 if crd else 1 + rank]
    for axis in range(rank):
        order += [2 + rank + axis, axis + (2 if crd else 1)]
    return x.reshape(-1, *split, *x.shape[2:]).permute(order).reshape(-1, *shape)


def space_to_depth(module: LayerModule[SpaceToDepth], x: Tensor) -> Tensor:
    shape = module.node.shape
    blocks, rank = module.layer.blocks(shape), len(shape) - 1
    pairs = [size for pair in zip(shape[1:], blocks, strict=True) for size in pair]
    separate = x.reshape(-1, shape[0] // math.prod(blocks), *pairs)
    places, positions = range(3, 3 + 2 * rank, 2), range(2, 2 + 2 * rank, 2)
    order = (0, 1, *places, *positions) if module.layer.mode == "crd" else (0, *places, 1, *positions)
    return separate.permute(order).reshape(-1, *shape)
