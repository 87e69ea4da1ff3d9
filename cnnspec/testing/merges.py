"""The definitions of merges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.layers.merge import Add, Concat, Divide, Matmul, Maximum, Mean, Minimum, Multiply, Subtract
from cnnspec.testing.definitions import Array, Params, defines


@defines
def add(layer: Add, node: Node, params: Params, *branches: Array) -> Array:
    """The sum of the branches."""
    return np.asarray(sum(branches))


def full(node: Node, branches: Sequence[Array]) -> list[Array]:
    """Return the branches in the shape of the output: [c] stands for [c, 1, 1], and axes of size one are repeated."""
    rank = len(node.shape)
    return [np.broadcast_to(x.reshape(*x.shape, *[1] * (rank - x.ndim)), node.shape) for x in branches]


@defines
def multiply(layer: Multiply, node: Node, params: Params, *branches: Array) -> Array:
    """The product of the branches."""
    return np.asarray(np.prod(full(node, branches), axis=0))


@defines
def subtract(layer: Subtract, node: Node, params: Params, *branches: Array) -> Array:
    """The first branch less the sum of the others."""
    first, *others = full(node, branches)
    return np.asarray(first - sum(others))


@defines
def divide(layer: Divide, node: Node, params: Params, *branches: Array) -> Array:
    """The first branch divided by the product of the others."""
    first, *others = full(node, branches)
    return np.asarray(first / np.prod(others, axis=0))


@defines
def maximum(layer: Maximum, node: Node, params: Params, *branches: Array) -> Array:
    """The largest number at each place."""
    return np.asarray(np.max(full(node, branches), axis=0))


@defines
def minimum(layer: Minimum, node: Node, params: Params, *branches: Array) -> Array:
    """The smallest number at each place."""
    return np.asarray(np.min(full(node, branches), axis=0))


@defines
def mean(layer: Mean, node: Node, params: Params, *branches: Array) -> Array:
    """The sum of the branches by their number."""
    return np.asarray(sum(full(node, branches)) / len(branches))


@defines
def matmul(layer: Matmul, node: Node, params: Params, a: Array, b: Array) -> Array:
    """y[..., i, j] = Σ over k of a[..., i, k] · b[..., k, j]; axes before these are repeated."""
    *before, rows, columns = node.shape
    a, b = (np.broadcast_to(x, (*before, *x.shape[-2:])) for x in (a, b))
    y = np.zeros(node.shape)
    for *at, i, j in np.ndindex(*before, rows, columns):
        y[*at, i, j] = sum(a[*at, i, k] * b[*at, k, j] for k in range(a.shape[-1]))
    return y


@defines
def concat(layer: Concat, node: Node, params: Params, *branches: Array) -> Array:
    """What the first branch has along the axis, then what the next has, and so on."""
    axis = {1: "c", 2: "cl", 3: "chw", 4: "cdhw"}[len(node.shape)].index(layer.axis[0])
    parts = [part for x in branches for part in np.moveaxis(x, axis, 0)]
    return np.moveaxis(np.stack(parts), 0, axis)
