"""Norms of PyTorch."""

from __future__ import annotations

import numpy as np

from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.norms import by_channels, over_axes
from cnnspec.interop.torch_import.call import Call, Convert
from cnnspec.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RmsNorm

_KEYS = {key: key for key in ("weight", "bias", "running_mean", "running_var")}


def _batch_norm(net: Network, call: Call) -> list[Value]:
    """Return batch normalization by the running statistics; without affine weights, they are one and zero."""
    x, arrays = call.value("input"), call.arrays(**_KEYS)
    if call.get("training") or call.get("use_input_stats") or len(x.shape) < 2:
        raise Unsupported("it normalises by the batch")
    channels, dtype = x.shape[1], arrays["running_mean"].dtype
    arrays.setdefault("weight", np.ones(channels, dtype))
    arrays.setdefault("bias", np.zeros(channels, dtype))
    momentum, eps = call.get("momentum"), float(call.get("eps"))
    if not 0 < momentum < 1:
        why = ": a cumulative average (`momentum=None`) cannot be said" if momentum == 0 else ""
        raise Unsupported(f"its momentum is {momentum:g}{why}")
    layer = BatchNorm(eps=eps, momentum=float(momentum))
    return [by_channels(net, x, layer, arrays)]


def _batch_norm_alone(net: Network, call: Call) -> Value:
    return _batch_norm(net, call)[0]


def _instance_norm(net: Network, call: Call) -> Value:
    if not call.get("use_input_stats"):
        return _batch_norm_alone(net, call)
    arrays = call.arrays(weight="weight", bias="bias")
    layer = InstanceNorm(eps=float(call.get("eps")), affine=bool(arrays))
    return net.add(layer, net.image(call.value("input")).node, arrays=arrays)


def _group_norm(net: Network, call: Call) -> Value:
    x, groups = net.image(call.value("input")), int(call.get("num_groups"))
    arrays = call.arrays(weight="weight", bias="bias")
    arrays.setdefault("weight", np.ones(x.shape[1], np.float32))
    arrays.setdefault("bias", np.zeros(x.shape[1], np.float32))
    return net.add(GroupNorm(groups=groups, eps=float(call.get("eps"))), x.node, arrays=arrays)


def _over_axes(net: Network, call: Call) -> Value:
    """Return a norm over the last axes."""
    x = call.value("input")
    sizes, rank = tuple(call.get("normalized_shape")), len(x.shape)
    axes = list(range(rank - len(sizes), rank))
    arrays = call.arrays(weight="weight", bias="bias")
    cls: type[LayerNorm] | type[RmsNorm] = LayerNorm if call.op == "layer_norm" else RmsNorm
    arrays.setdefault("weight", np.ones(sizes, np.float32))
    if cls is LayerNorm:
        arrays.setdefault("bias", np.zeros(sizes, np.float32))
    eps = call.get("eps")
    return over_axes(net, x, cls, axes, arrays, float(np.finfo(np.float32).eps) if eps is None else float(eps))


OPERATORS: dict[str, Convert] = {
    "batch_norm": _batch_norm_alone,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _over_axes,
    "rms_norm": _over_axes,
}
"""The operators that normalise."""
