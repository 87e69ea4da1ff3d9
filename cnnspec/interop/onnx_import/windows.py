"""Convolutions and pools of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import one_or_all, padding, product
from cnnspec.interop.onnx_import.call import Call
from cnnspec.layers import Layer
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import Padding, effective_kernel
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LpPool, MaxPool

_AUTO: dict[str, Padding] = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}


def _window(call: Call, kernel: tuple[int, ...]) -> dict[str, Any]:
    """Return kernel, stride, dilation and padding as fields of a layer."""
    rank = len(kernel)
    stride = tuple(call.get("strides", [1] * rank))
    dilation = tuple(call.get("dilations", [1] * rank))
    auto = call.get("auto_pad", "NOTSET")
    if auto in _AUTO:
        pads: Padding = _AUTO[auto]
    else:
        flat = list(call.get("pads", [0] * 2 * rank))
        if min(flat) < 0:
            raise Unsupported(f"its pads are negative: {flat}")
        pads = padding(list(zip(flat[:rank], flat[rank:], strict=True)), kernel, dilation)
    return {
        "kernel": one_or_all(kernel),
        "stride": one_or_all(stride),
        "dilation": one_or_all(dilation),
        "padding": pads,
    }


def _spatial(net: Network, call: Call) -> Value:
    """Return the first input as the value of a node with spatial axes."""
    x = call.value()
    if not 3 <= len(x.shape) <= 5:
        raise Unsupported(f"it reads {net.described(x)}, which has {len(x.shape) - 2} spatial axes, not one to three")
    return net.image(x)


def conv(net: Network, call: Call) -> Value:
    """Return a convolution."""
    x = _spatial(net, call)
    weight = call.constant(1, "weight")
    kernel = tuple(weight.shape[2:])
    if tuple(call.get("kernel_shape", kernel)) != kernel:
        raise Unsupported(f"`kernel_shape` is not that of the weight, {list(kernel)}")
    arrays = {"weight": weight} | ({"bias": call.constant(2, "bias")} if call.has(2) else {})
    fields = _window(call, kernel) | {"groups": call.get("group", 1), "bias": call.has(2)}
    return net.add(Conv(channels=weight.shape[0], **fields), x.node, arrays=arrays)


def conv_transpose(net: Network, call: Call) -> Value:
    """Return a transposed convolution."""
    x = _spatial(net, call)
    weight = call.constant(1, "weight")
    kernel, rank, groups = tuple(weight.shape[2:]), weight.ndim - 2, call.get("group", 1)
    fields = _window(call, kernel)
    extra = list(call.get("output_padding", [0] * rank))
    stride, dilation = (call.get(key, [1] * rank) for key in ("strides", "dilations"))
    auto = call.get("auto_pad", "NOTSET")
    if call.get("output_shape", None) or auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        sizes = list(call.get("output_shape", sizes))[-rank:]
        pads = []
        for i, (n, s, k, d) in enumerate(zip(x.shape[2:], stride, kernel, dilation, strict=True)):
            total = s * (n - 1) + extra[i] + effective_kernel(k, d) - sizes[i]
            if total < 0:
                extra[i], total = extra[i] - total, 0
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        fields["padding"] = padding(pads, kernel, dilation, window=False)
    elif isinstance(fields["padding"], str) and fields["padding"] == "same":
        flat = call.get("pads", [])
        fields["padding"] = padding(list(zip(flat[:rank], flat[rank:], strict=True)), kernel, dilation, window=False)
    fields |= {"output_padding": one_or_all(extra), "groups": groups, "bias": call.has(2)}
    arrays = {"weight": weight} | ({"bias": call.constant(2, "bias")} if call.has(2) else {})
    return net.add(ConvTranspose(channels=weight.shape[1] * groups, **fields), x.node, arrays=arrays)


def _pool(net: Network, call: Call, layer: Callable[..., Layer], **more: Any) -> Value:
    x = _spatial(net, call)
    kernel = tuple(call.get("kernel_shape", ()))
    fields = _window(call, kernel)
    if call.get("ceil_mode", 0):
        fields["rounding"] = "ceil"
    if fields["stride"] == fields["kernel"]:
        del fields["stride"]
    return net.add(layer(**fields, **more), x.node)


def max_pool(net: Network, call: Call) -> Value:
    """Return a max pool."""
    if len(call.outputs) > 1 and call.readers.get(call.outputs[1]):
        raise Unsupported("the indices of its maxima are used")
    if call.get("storage_order", 0) and len(call.outputs) > 1:
        raise Unsupported("`storage_order` is 1")
    return _pool(net, call, MaxPool)


def avg_pool(net: Network, call: Call) -> Value:
    """Return an average pool."""
    return _pool(net, call, AvgPool, count_padding=bool(call.get("count_include_pad", 0)))


def lp_pool(net: Network, call: Call) -> Value:
    """Return a pool that computes a norm."""
    return _pool(net, call, LpPool, p=int(call.get("p", 2)))


def global_pool(net: Network, call: Call) -> Value:
    """Return the mean, the maximum or the norm of each channel, with axes of size one."""
    x = _spatial(net, call)
    if call.op == "GlobalLpPool":
        return net.add(LpPool(kernel=one_or_all(x.shape[2:]), p=int(call.get("p", 2))), x.node)
    return net.add(AdaptiveAvgPool(size=1) if call.op == "GlobalAveragePool" else AdaptiveMaxPool(size=1), x.node)


def gemm(net: Network, call: Call) -> Value:
    """Return a dense layer."""
    if call.get("transA", 0):
        raise Unsupported("`transA` is 1: the first axis is not the batch")
    weight = call.constant(1, "weight")
    weight = weight if call.get("transB", 0) else _turned(net, weight)
    x = call.value()
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if alpha != 1:
        weight = (weight * np.asarray(alpha, weight.dtype)).astype(weight.dtype)
    bias = None
    if call.has(2) and beta != 0:
        given = call.constant(2, "bias")
        if math.prod(given.shape[:-1]) != 1:
            raise Unsupported(f"its bias is {list(given.shape)}, which differs by sample")
        bias = np.broadcast_to(given.reshape(given.shape[-1:]) * np.asarray(beta, given.dtype), weight.shape[:1])
    return product(net, x, weight, bias)


def _turned(net: Network, weight: Any) -> Any:
    return net.transformed(weight, "transposed", lambda w: np.ascontiguousarray(w.T))
