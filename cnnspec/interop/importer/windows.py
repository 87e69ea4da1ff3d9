"""Windows of foreign operations as fields of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnnspec.interop.importer.network import Network, Unsupported, Value
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
