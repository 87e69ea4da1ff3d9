"""Layers that give the same numbers another shape, or another order of the axes."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.rearrange import Reordered
from cnnspec_numpy.kernels.base import Context, Result


def reshape(context: Context[Reordered], x: Array) -> Result:
    """The axes split, put in another order, and joined."""
    sizes, order = context.layer.split(context.node.in_shapes[0])
    axes = (0, *(1 + axis for axis in order))
    y = x.reshape(len(x), *sizes).transpose(axes)
    ordered = y.shape

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(ordered).transpose(np.argsort(axes)).reshape(x.shape),), {}

    return np.ascontiguousarray(y).reshape(len(x), *context.node.shape), backward


permute = depth_to_space = space_to_depth = reshape
