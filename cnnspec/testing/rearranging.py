"""The definitions of layers that give the same numbers another shape or order, place by place."""

from __future__ import annotations

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.layers.geometry import AXES
from cnnspec.layers.rearrange import DepthToSpace, Permute, Reshape, SpaceToDepth
from cnnspec.testing.definitions import Array, Params, defines


@defines
def reshape(layer: Reshape, node: Node, params: Params, x: Array) -> Array:
    """The numbers one after the other, in the new shape."""
    y = np.zeros(node.shape)
    y.flat[:] = list(x.flat)
    return y


@defines
def permute(layer: Permute, node: Node, params: Params, x: Array) -> Array:
    """y at a position is x at the position whose axes, in the order of the output, are that."""
    names = ("channels", *AXES[x.ndim - 1])
    y = np.zeros(node.shape)
    for at in np.ndindex(*node.shape):
        place = dict(zip(layer.axes, at, strict=True))
        y[at] = x[tuple(place[name] for name in names)]
    return y


@defines
def depth_to_space(layer: DepthToSpace, node: Node, params: Params, x: Array) -> Array:
    """y[c, i, j] is x[channel, i // b, j // b], the channel that of c and of the place (i mod b, j mod b)."""
    blocks = layer.blocks(x.shape)
    y = np.zeros(node.shape)
    for c, *at in np.ndindex(*node.shape):
        place, area = number(at, blocks)
        channel = c * area + place if layer.mode == "crd" else place * node.shape[0] + c
        y[c, *at] = x[channel, *(i // b for i, b in zip(at, blocks, strict=True))]
    return y


@defines
def space_to_depth(layer: SpaceToDepth, node: Node, params: Params, x: Array) -> Array:
    """x[c, i, j] goes to y[channel, i // b, j // b], the channel that of c and of the place (i mod b, j mod b)."""
    blocks = layer.blocks(x.shape)
    y = np.zeros(node.shape)
    for c, *at in np.ndindex(*x.shape):
        place, area = number(at, blocks)
        channel = c * area + place if layer.mode == "crd" else place * len(x) + c
        y[channel, *(i // b for i, b in zip(at, blocks, strict=True))] = x[c, *at]
    return y


def number(at: list[int], blocks: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of a position's place in its block, row by row, and how many places a block has."""
    place, area = 0, 1
    for i, b in zip(at, blocks, strict=True):
        place, area = place * b + i % b, area * b
    return place, area
