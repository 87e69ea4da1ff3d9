"""Norms of ONNX."""

from __future__ import annotations

import math

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.norms import by_channels, over_axes
from cnnspec.interop.importer.operations import elementwise, merged, reduced, shifted
from cnnspec.interop.onnx_import.call import Call, Convert, place
from cnnspec.layers import Shape, merge
from cnnspec.layers.function import Power
from cnnspec.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, RmsNorm

EPSILON = 1e-5
"""The default of all norms."""


def _eps(call: Call) -> float:
    return call.decimal("epsilon", EPSILON)


def _batch_norm(net: Network, call: Call) -> Value:
    if call.get("training_mode", 0):
        raise Unsupported("it normalises by the batch (`training_mode`): export the model for inference")
    if not call.get("spatial", 1):
        raise Unsupported("`spatial` is 0")
    keys = ("weight", "bias", "running_mean", "running_var")
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(keys)}
    layer = BatchNorm(eps=_eps(call), momentum=round(1 - call.decimal("momentum", 0.9), 7))
    return by_channels(net, call.value(), layer, arrays)


def _instance_norm(net: Network, call: Call) -> Value:
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(("weight", "bias"))}
    plain = (arrays["weight"] == 1).all() and (arrays["bias"] == 0).all()
    layer = InstanceNorm(eps=_eps(call), affine=not plain)
    return net.add(layer, net.image(call.value()).node, arrays={} if plain else arrays)


def _group_norm(net: Network, call: Call) -> Value:
    x, groups = net.image(call.value()), call.get("num_groups", 1)
    arrays = {key: call.constant(1 + i, key) for i, key in enumerate(("weight", "bias"))}
    if call.opset < 21:  # one number for each group
        arrays = {key: np.repeat(array, x.shape[1] // groups) for key, array in arrays.items()}
    return net.add(GroupNorm(groups=groups, eps=_eps(call)), x.node, arrays=arrays)


def _over_axes(net: Network, call: Call) -> list[Value]:
    """Return a norm over the axes from `axis` on, or over the `axes` of one that was recognised."""
    x = call.value()
    rank = len(x.shape)
    axes = sorted(place(axis, rank) for axis in call.get("axes", None) or range(call.axis(default=-1), rank))
    if call.get("count", None) not in (None, math.prod(x.shape[axis] for axis in axes)):
        raise Unsupported(f"its sum is divided by {call.get('count', None):g}, and is no mean")
    defaults = {"weight": 1.0, "bias": 0.0} if call.op == "LayerNormalization" else {"weight": 1.0}
    given = {
        key: _along(call.constant(1 + i, key) if call.has(1 + i) else np.full(1, default, np.float32), x.shape, axes)
        for i, (key, default) in enumerate(defaults.items())
    }
    statistics = _statistics(net, call, x, axes)
    cls = LayerNorm if call.op == "LayerNormalization" else RmsNorm
    return [over_axes(net, x, cls, axes, given, _eps(call)), *statistics]


def _along(constant: Array, shape: Shape, axes: list[int]) -> Array:
    """Return a constant that is broadcast to a tensor as an array of the sizes of these axes."""
    sizes = [1] * (len(shape) - constant.ndim) + list(constant.shape)
    if len(sizes) > len(shape) or any(n != 1 for i, n in enumerate(sizes) if i not in axes):
        raise Unsupported(f"its weights are {list(constant.shape)}, which differ along other axes than {axes}")
    return np.broadcast_to(constant.reshape([sizes[i] for i in axes]), [shape[i] for i in axes])


def _statistics(net: Network, call: Call, x: Value, axes: list[int]) -> list[Value]:
    """Return the mean and 1 / √(variance + eps), where they are read."""
    if not any(call.readers.get(name) for name in call.outputs[1:]):
        return []
    mean = reduced(net, x, axes, "mean", True)
    square = elementwise(net, merged(net, merge.Subtract, [x, mean]), Power(exponent=2.0))
    variance = shifted(net, reduced(net, square, axes, "mean", True), np.array(_eps(call)))
    return [mean, elementwise(net, variance, Power(exponent=-0.5))]


def _lrn(net: Network, call: Call) -> Value:
    fields = {"alpha": call.decimal("alpha", 1e-4), "beta": call.decimal("beta", 0.75), "k": call.decimal("bias", 1.0)}
    layer = LocalResponseNorm(size=call.get("size", 1), **fields)
    return net.add(layer, net.image(call.value()).node)


OPERATORS: dict[str, Convert] = {
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _over_axes,
    "RMSNormalization": _over_axes,
    "LRN": _lrn,
}
"""The operators that normalise."""
