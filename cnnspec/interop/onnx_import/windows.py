"""Convolutions and pools of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import padding, product, turned
from cnnspec.interop.importer.windows import pooled, spatial, window
from cnnspec.interop.onnx_import.call import Call, Convert
from cnnspec.layers import Layer
from cnnspec.layers.axes import short_form
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import TransposedAxis, split_total
from cnnspec.layers.padding import Padding
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, LpPool, MaxPool

_AUTO: dict[str, Padding] = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}


def _window(call: Call, kernel: tuple[int, ...], slides: bool = True) -> dict[str, Any]:
    """Return kernel, stride, dilation and padding as fields of a layer whose window slides over its input."""
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
        pads = padding(list(zip(flat[:rank], flat[rank:], strict=True)), kernel, dilation, slides)
    return window(kernel, stride, dilation, pads)


def _arrays(call: Call) -> dict[str, Array]:
    """Return the weight, and the bias where there is one."""
    return {key: call.constant(i, key) for i, key in ((1, "weight"), (2, "bias")) if i == 1 or call.has(i)}


def _conv(net: Network, call: Call) -> Value:
    """Return a convolution."""
    x, arrays = spatial(net, call.value()), _arrays(call)
    channels, _, *kernel = arrays["weight"].shape
    if list(call.get("kernel_shape", kernel)) != kernel:
        raise Unsupported(f"`kernel_shape` is not that of the weight, {kernel}")
    fields = _window(call, tuple(kernel)) | {"groups": call.get("group", 1), "bias": "bias" in arrays}
    return net.add(Conv(channels=channels, **fields), x.node, arrays=arrays)


def _conv_transpose(net: Network, call: Call) -> Value:
    """Return a transposed convolution."""
    x, arrays = spatial(net, call.value()), _arrays(call)
    _, channels, *kernel = arrays["weight"].shape
    rank, groups = len(kernel), call.get("group", 1)
    fields = _window(call, tuple(kernel), slides=False)
    extra = list(call.get("output_padding", [0] * rank))
    stride, dilation = (call.get(key, [1] * rank) for key in ("strides", "dilations"))
    auto = call.get("auto_pad", "NOTSET")
    if call.get("output_shape", None) or auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = call.get("output_shape", None) or [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        sides = []
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, stride, dilation, strict=True)):
            cut = TransposedAxis(n, k, s, 0, 0, d, extra[i]).out - wanted[i - rank]
            extra[i] += max(0, -cut)
            before, after = split_total(max(0, cut))
            sides.append((after, before) if auto == "SAME_UPPER" else (before, after))
        fields["padding"] = padding(sides, kernel, dilation, slides=False)
    fields |= {"output_padding": short_form(extra), "groups": groups, "bias": "bias" in arrays}
    return net.add(ConvTranspose(channels=channels * groups, **fields), x.node, arrays=arrays)


def _pool(net: Network, call: Call, layer: Callable[..., Layer], **more: Any) -> Value:
    x = spatial(net, call.value())
    kernel = tuple(call.get("kernel_shape", ()))
    fields = _window(call, kernel)
    if call.get("ceil_mode", 0):
        fields["rounding"] = "ceil"
    return pooled(net, x, layer, fields | more)


def _max_pool(net: Network, call: Call) -> Value:
    """Return a max pool."""
    if len(call.outputs) > 1 and call.readers.get(call.outputs[1]):
        raise Unsupported("the indices of its maxima are used")
    if call.get("storage_order", 0) and len(call.outputs) > 1:
        raise Unsupported("`storage_order` is 1")
    return _pool(net, call, MaxPool)


def _avg_pool(net: Network, call: Call) -> Value:
    """Return an average pool."""
    return _pool(net, call, AvgPool, count_padding=bool(call.get("count_include_pad", 0)))


def _lp_pool(net: Network, call: Call) -> Value:
    """Return a pool that computes a norm."""
    return _pool(net, call, LpPool, p=int(call.get("p", 2)))


def _global_pool(net: Network, call: Call) -> Value:
    """Return the mean, the maximum or the norm of each channel, with axes of size one."""
    x = spatial(net, call.value())
    if call.op == "GlobalLpPool":
        return net.add(LpPool(kernel=short_form(x.shape[2:]), p=int(call.get("p", 2))), x.node)
    return net.add(AdaptiveAvgPool(size=1) if call.op == "GlobalAveragePool" else AdaptiveMaxPool(size=1), x.node)


def _gemm(net: Network, call: Call) -> Value:
    """Return a dense layer."""
    if call.get("transA", 0):
        raise Unsupported("`transA` is 1: the first axis is not the batch")
    weight = call.constant(1, "weight")
    weight = weight if call.get("transB", 0) else turned(net, weight)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if alpha != 1:
        weight = (weight * np.asarray(alpha, weight.dtype)).astype(weight.dtype)
    bias = None
    if call.has(2) and beta != 0:
        given = call.constant(2, "bias")
        if math.prod(given.shape[:-1]) != 1:
            raise Unsupported(f"its bias is {list(given.shape)}, which differs by sample")
        bias = np.broadcast_to(given.reshape(given.shape[-1:]) * np.asarray(beta, given.dtype), weight.shape[:1])
    return product(net, call.value(), weight, bias)


OPERATORS: dict[str, Convert] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "LpPool": _lp_pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GlobalLpPool": _global_pool,
}
"""The operators with windows, and dense layers."""
