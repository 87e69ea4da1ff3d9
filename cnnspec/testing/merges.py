"""The definitions of merges."""

from __future__ import annotations

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.layers.merge import Add, Concat, Multiply
from cnnspec.testing.definitions import Array, Params, defines


@defines
def add(layer: Add, node: Node, params: Params, *branches: Array) -> Array:
    """The sum of the branches."""
    return np.asarray(sum(branches))


@defines
def multiply(layer: Multiply, node: Node, params: Params, *branches: Array) -> Array:
    """The product of the branches; a vector [c] stands for [c, 1, 1], and an axis of size one broadcasts."""
    y = np.ones(node.shape)
    for x in branches:
        y = y * x.reshape(*x.shape, *[1] * (y.ndim - x.ndim))
    return y


@defines
def concat(layer: Concat, node: Node, params: Params, *branches: Array) -> Array:
    """The channels of the first branch, then those of the next, and so on."""
    return np.stack([channel for x in branches for channel in x])
