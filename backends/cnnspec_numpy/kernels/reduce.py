"""Numbers along some axes as one."""

from __future__ import annotations

import math

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.reduce import Reduce
from cnnspec_numpy.kernels.base import Context, Result


def reduce(context: Context[Reduce], x: Array) -> Result:
    """The mean, sum, maximum or minimum along the axes, which stay."""
    axes = tuple(1 + axis for axis in context.layer.positions(x.shape[1:]))
    mode = context.layer.mode
    if mode in ("mean", "sum"):
        count = math.prod(x.shape[axis] for axis in axes) if mode == "mean" else 1
        y = x.sum(axes, keepdims=True) / x.dtype.type(count)
        return y, lambda dy: ((np.broadcast_to(dy / x.dtype.type(count), x.shape),), {})
    y = (np.maximum if mode == "max" else np.minimum).reduce(x, axes, keepdims=True)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        taken = x == y
        return (taken * (dy / taken.sum(axes, keepdims=True).astype(dy.dtype)),), {}

    return y, backward
