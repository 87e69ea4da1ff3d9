"""Layers that give the same numbers another shape, or another order of the axes."""

from __future__ import annotations

import math

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.rearrange import DepthToSpace, Permute, Reshape, SpaceToDepth
from cnnspec_numpy.kernels.base import Context, Result


def reshape(context: Context[Reshape], x: Array) -> Result:
    """The numbers in their order."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(x.shape),), {}

    return x.reshape(len(x), *context.node.shape), backward


def permute(context: Context[Permute], x: Array) -> Result:
    """The axes in their new order, behind that of the samples."""
    order = (0, *(1 + axis for axis in context.layer.order(context.node.in_shapes[0])))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (np.ascontiguousarray(dy.transpose(np.argsort(order))),), {}

    return np.ascontiguousarray(x.transpose(order)), backward


def depth_to_space(context: Context[DepthToSpace], x: Array) -> Result:
    """Each group of channels becomes the blocks of one."""
    layer, shape = context.layer, context.node.shape
    blocks = layer.blocks(shape)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (_to_channels(dy, blocks, layer.mode),), {}

    return _to_blocks(x, blocks, layer.mode), backward


def space_to_depth(context: Context[SpaceToDepth], x: Array) -> Result:
    """Each place of the blocks becomes a channel."""
    layer = context.layer
    blocks = layer.blocks(context.node.shape)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (_to_blocks(dy, blocks, layer.mode),), {}

    return _to_channels(x, blocks, layer.mode), backward


def _to_blocks(x: Array, blocks: tuple[int, ...], mode: str) -> Array:
    """[n, c·b·b, h, w] -> [n, c, h·b, w·b]."""
    n, rank = len(x), len(blocks)
    c, sizes = x.shape[1] // math.prod(blocks), x.shape[2:]
    split = (c, *blocks) if mode == "crd" else (*blocks, c)
    channel, first = (1, 2) if mode == "crd" else (1 + rank, 1)
    order = [0, channel]
    for axis in range(rank):
        order += [2 + rank + axis, first + axis]
    y = x.reshape(n, *split, *sizes).transpose(order)
    return y.reshape(n, c, *(size * b for size, b in zip(sizes, blocks, strict=True)))


def _to_channels(x: Array, blocks: tuple[int, ...], mode: str) -> Array:
    """[n, c, h·b, w·b] -> [n, c·b·b, h, w]."""
    n, c, *sizes = x.shape
    rank = len(blocks)
    out = [size // b for size, b in zip(sizes, blocks, strict=True)]
    separate = x.reshape(n, c, *(size for pair in zip(out, blocks, strict=True) for size in pair))
    places, positions = range(3, 3 + 2 * rank, 2), range(2, 2 + 2 * rank, 2)
    order = (0, 1, *places, *positions) if mode == "crd" else (0, *places, 1, *positions)
    return separate.transpose(order).reshape(n, c * math.prod(blocks), *out)
