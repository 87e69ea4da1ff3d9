"""Windows of foreign operations as fields of layers."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import padding
from cnnspec.layers import Layer
from cnnspec.layers.axes import short_form
from cnnspec.layers.geometry import Padding


def window(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], pads: Padding) -> dict[str, Any]:
    """Return the fields of a layer with a window, whose sizes are by axis."""
    return {
        "kernel": short_form(tuple(kernel)),
        "stride": short_form(tuple(stride)),
        "dilation": short_form(tuple(dilation)),
        "padding": pads,
    }


def spatial(net: Network, x: Value) -> Value:
    """Return a tensor [n, c, ...] as the value of a node with one to three spatial axes."""
    if not 3 <= len(x.shape) <= 5:
        raise Unsupported(f"it reads {net.described(x)}, which has {len(x.shape) - 2} spatial axes, not one to three")
    return net.image(x)


def pooled(net: Network, x: Value, layer: Callable[..., Layer], fields: dict[str, Any]) -> Value:
    """Return a pool, whose stride is its kernel unless it is given."""
    if fields["stride"] == fields["kernel"]:
        fields = {name: value for name, value in fields.items() if name != "stride"}
    return net.add(layer(**fields), x.node)


def recounted(net: Network, value: Value, factor: Array) -> Value | None:
    """Return the average pool with ceil rounding that a pool times factors by position is; None where it is none.

    Such a pool does not count what ceil rounding reaches beyond the padding. Formats whose pools count it, or cannot
    say the two apart, pad by as much more, and multiply each position by kernel / counted.
    """
    node = net.node(value)
    layer: Any = node.layer
    if layer.kind != "avg_pool" or not layer.count_padding or value.view != net.value(node).view:
        return None
    sizes = node.in_shapes[0][1:]
    if (
        factor.ndim < len(sizes)
        or factor.size != math.prod(node.shape[1:])
        or factor.shape[-len(sizes) :] != node.shape[1:]
    ):
        return None
    factors = factor.reshape(node.shape[1:])
    for afters in itertools.product(*(range(w.after + 1) for w in node.windows)):
        sides = [(w.before, after) for w, after in zip(node.windows, afters, strict=True)]
        kernel, dilation = [w.kernel for w in node.windows], [w.dilation for w in node.windows]
        same = layer.model_copy(update={"padding": padding(sides, kernel, dilation), "rounding": "ceil"})
        found = same.infer(node.in_shapes[0])
        if found.shape != node.shape:
            continue
        counts = [
            np.array([w.kernel / w.counted(i, n, True) for i in range(w.out)])
            for w, n in zip(found.windows, sizes, strict=True)
        ]
        if np.allclose(factors, functools.reduce(np.multiply.outer, counts), rtol=1e-6):
            return net.add(same, node.inputs[0])
    return None
