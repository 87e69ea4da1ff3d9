"""Norms of foreign operations as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.layers import Layer
from cnnspec.layers.geometry import axes_of
from cnnspec.layers.norm import LayerNorm, RmsNorm


def by_channels(net: Network, x: Value, layer: Layer, arrays: Mapping[str, Array]) -> Value:
    """Return a layer whose arrays are for the channels, the second axis of the tensor."""
    if len(x.shape) > 1 and net.sample_axis(x, 1) == 0:
        return net.add(layer, x.node, arrays=arrays).seen(x.view)
    return net.add(layer, net.image(x).node, arrays=arrays)


def over_axes(
    net: Network,
    x: Value,
    cls: type[LayerNorm] | type[RmsNorm],
    axes: Sequence[int],
    arrays: Mapping[str, Array],
    eps: float,
) -> Value:
    """Return a norm over these axes, whose arrays have their sizes, in the order of the tensor."""
    if any(x.view.holds_batch(axis) for axis in axes):
        raise Unsupported("it is over the batch")
    x, names = net.along(x, *axes)
    order = [int(i) for i in np.argsort([axes_of(net.node(x).shape).index(name) for name in names])]
    if order != sorted(order):
        how = f"with the axes {order}"
        arrays = {
            key: net.transformed(array, how, lambda a: np.ascontiguousarray(a.transpose(order)))
            for key, array in arrays.items()
        }
    return net.add(cls(axes=names, eps=eps), x.node, arrays=arrays).seen(x.view)
