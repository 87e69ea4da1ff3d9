"""Merges."""

from __future__ import annotations

from functools import reduce

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.merge import Add, Concat, Multiply
from cnnspec_numpy.kernels.base import Context, Result


def add(context: Context[Add], *xs: Array) -> Result:
    """y = Σ x."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy,) * len(xs), {}

    return reduce(np.add, xs), backward


def multiply(context: Context[Multiply], *xs: Array) -> Result:
    """y = Π x, axes of size one stretched."""
    rank = 1 + len(context.node.shape)
    full = [x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs]

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dxs = []
        for i, x in enumerate(full):
            dx = reduce(np.multiply, full[:i] + full[i + 1 :], dy)
            stretched = tuple(axis for axis in range(rank) if x.shape[axis] < dy.shape[axis])
            dxs.append(dx.sum(stretched, keepdims=True).reshape(xs[i].shape))
        return tuple(dxs), {}

    return reduce(np.multiply, full), backward


def concat(context: Context[Concat], *xs: Array) -> Result:
    """The channels of all x, one after the other."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        ends = np.cumsum([x.shape[1] for x in xs[:-1]])
        return tuple(np.split(dy, ends, axis=1)), {}

    return np.concatenate(xs, axis=1), backward
