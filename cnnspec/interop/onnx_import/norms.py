"""Norms of ONNX."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import elementwise, merged, reduced, shifted
from cnnspec.interop.onnx_import.call import Call
from cnnspec.interop.onnx_import.functions import Convert
from cnnspec.layers import Layer, merge
from cnnspec.layers.function import Power
from cnnspec.layers.geometry import axes_of
from cnnspec.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, RmsNorm


def eps(call: Call, default: float = 1e-5) -> float:
    """Return epsilon as it was written."""
    return float(str(np.float32(call.get("epsilon", default))))


def _batch_norm(net: Network, call: Call) -> Value:
    if call.get("training_mode", 0):
        raise Unsupported("it normalises by the batch (`training_mode`): export the model for inference")
    if not call.get("spatial", 1):
        raise Unsupported("`spatial` is 0")
    keys = ("weight", "bias", "running_mean", "running_var")
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(keys)}
    layer = BatchNorm(eps=eps(call), momentum=round(1 - call.get("momentum", 0.9), 7))
    return _by_channel(net, call.value(), layer, arrays)


def _by_channel(net: Network, x: Value, layer: Layer, arrays: dict[str, Array]) -> Value:
    """Return a layer whose arrays are for the channels, the second axis of the tensor."""
    if len(x.shape) > 1 and net.sample_axis(x, 1) == 0:
        return net.add(layer, x.node, arrays=arrays).seen(x.view)
    return net.add(layer, net.image(x).node, arrays=arrays)


def _instance_norm(net: Network, call: Call) -> Value:
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(("weight", "bias"))}
    plain = (arrays["weight"] == 1).all() and (arrays["bias"] == 0).all()
    layer = InstanceNorm(eps=eps(call), affine=not plain)
    return net.add(layer, net.image(call.value()).node, arrays={} if plain else arrays)


def _group_norm(net: Network, call: Call) -> Value:
    x, groups = net.image(call.value()), call.get("num_groups", 1)
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(("weight", "bias"))}
    if call.opset < 21:  # one number for each group
        arrays = {key: np.repeat(array, x.shape[1] // groups) for key, array in arrays.items()}
    return net.add(GroupNorm(groups=groups, eps=eps(call)), x.node, arrays=arrays)


def _over_last_axes(net: Network, call: Call) -> list[Value]:
    x, axis = call.value(), call.axis(default=-1)
    axes = range(axis, len(x.shape))
    if any(0 in x.view.axes[i] for i in axes):
        raise Unsupported("it is over the batch")
    sizes = x.shape[axis:]
    keys = ("weight", "bias") if call.op == "LayerNormalization" else ("weight",)
    given = [call.constant(1 + i, key) if call.has(1 + i) else None for i, key in enumerate(keys)]
    full = [np.full(sizes, i == 0, np.float32) if a is None else np.broadcast_to(a, sizes) for i, a in enumerate(given)]
    statistics = _statistics(net, call, x, list(axes))
    x, names = net.along(x, *axes)
    order = np.argsort([_place(net, x, name) for name in names])
    arrays = {key: np.ascontiguousarray(a.transpose(order)) for key, a in zip(keys, full, strict=True)}
    cls = LayerNorm if call.op == "LayerNormalization" else RmsNorm
    return [net.add(cls(axes=names, eps=eps(call)), x.node, arrays=arrays).seen(x.view), *statistics]


def _statistics(net: Network, call: Call, x: Value, axes: list[int]) -> list[Value]:
    """Return the mean and 1 / √(variance + eps), where they are read."""
    if not any(call.readers.get(name) for name in call.outputs[1:]):
        return []
    mean = reduced(net, x, axes, "mean", True)
    square = elementwise(net, merged(net, merge.Subtract, [x, mean]), Power(exponent=2.0))
    variance = shifted(net, reduced(net, square, axes, "mean", True), np.array(eps(call)))
    return [mean, elementwise(net, variance, Power(exponent=-0.5))]


def _place(net: Network, x: Value, name: str) -> int:
    return axes_of(net.node(x).shape).index(name)


def _lrn(net: Network, call: Call) -> Value:
    fields = {key: float(str(np.float32(call.get(key, value)))) for key, value in (("alpha", 1e-4), ("beta", 0.75))}
    layer = LocalResponseNorm(size=call.get("size", 1), k=float(call.get("bias", 1.0)), **fields)
    return net.add(layer, net.image(call.value()).node)


OPERATORS: dict[str, Convert] = {
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _over_last_axes,
    "RMSNormalization": _over_last_axes,
    "LRN": _lrn,
}
"""The operators that normalise."""
