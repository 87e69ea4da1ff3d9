"""Layers that put the same numbers into another shape or order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.rearrange import DepthToSpace, Permute, Reshape, SpaceToDepth
from cnnspec_numpy.kernels.base import Context, Result


def reshape(context: Context[Reshape], x: Array) -> Result:
    """x in another shape."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(x.shape),), {}

    return x.reshape(len(x), *context.node.shape), backward


def permute(context: Context[Permute], x: Array) -> Result:
    """The axes in another order."""
    return _moved(context, x)


def depth_to_space(context: Context[DepthToSpace], x: Array) -> Result:
    """Blocks of positions filled from the channels."""
    return _moved(context, x)


def space_to_depth(context: Context[SpaceToDepth], x: Array) -> Result:
    """Blocks of positions laid into the channels."""
    return _moved(context, x)


def _moved(context: Context[Any], x: Array) -> Result:
    split, order = context.layer.moves(context.node.in_shapes[0])

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        ordered = [split[axis] for axis in order]
        return (_in_order(dy, ordered, np.argsort(order).tolist(), x.shape[1:]),), {}

    return _in_order(x, split, order, context.node.shape), backward


def _in_order(x: Array, split: Sequence[int], order: Sequence[int], shape: Sequence[int]) -> Array:
    """Return the samples of x, each split into axes, with these in another order, and in a shape."""
    moved = x.reshape(len(x), *split).transpose(0, *(axis + 1 for axis in order))
    return np.ascontiguousarray(moved).reshape(len(x), *shape)
