"""Convolutions, products and pools of PyTorch."""

from __future__ import annotations

from typing import Any

from cnnspec.interop.importer.arithmetic import matrix_product, total
from cnnspec.interop.importer.network import Network, Unsupported, Value
from cnnspec.interop.importer.operations import padding, product
from cnnspec.interop.importer.windows import pooled, spatial, window
from cnnspec.interop.torch_import.call import Call, Convert
from cnnspec.layers.axes import short_form
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import effective_kernel, split_total
from cnnspec.layers.padding import Padding
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool


def _samples(net: Network, x: Value, rank: int) -> Value:
    """Return a tensor [n, c, ...] with `rank` spatial axes as the value of a node."""
    if len(x.shape) != rank + 2:
        raise Unsupported(f"it reads {net.described(x)}, without an axis for the batch")
    return spatial(net, x)


def _conv(net: Network, call: Call) -> Value:
    """Return a convolution; `padding` is a number for each side, or the name of a rule."""
    arrays = call.arrays(weight="weight", bias="bias")
    channels, _, *kernel = arrays["weight"].shape
    rank = len(kernel)
    dilation = call.by_axis("dilation", rank)
    pads: Padding
    if isinstance(call.get("padding"), str):
        same = call.get("padding") == "same"
        # PyTorch puts the odd one at the end.
        totals = [effective_kernel(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        sides = [split_total(total)[::-1] for total in totals]
        pads = padding(sides, kernel, dilation) if same else "valid"
    else:
        pads = padding([(n, n) for n in call.by_axis("padding", rank)], kernel, dilation)
    fields = window(kernel, call.by_axis("stride", rank), dilation, pads)
    layer = Conv(channels=channels, groups=call.get("groups"), bias="bias" in arrays, **fields)
    return net.add(layer, _samples(net, call.value("input"), rank).node, arrays=arrays)


def _conv_transpose(net: Network, call: Call) -> Value:
    """Return a transposed convolution."""
    arrays = call.arrays(weight="weight", bias="bias")
    _, channels, *kernel = arrays["weight"].shape
    rank, groups, dilation = len(kernel), call.get("groups"), call.by_axis("dilation", len(kernel))
    pads = padding([(n, n) for n in call.by_axis("padding", rank)], kernel, dilation, slides=False)
    fields = window(kernel, call.by_axis("stride", rank), dilation, pads)
    layer = ConvTranspose(
        channels=channels * groups,
        groups=groups,
        bias="bias" in arrays,
        output_padding=short_form(call.by_axis("output_padding", rank)),
        **fields,
    )
    return net.add(layer, _samples(net, call.value("input"), rank).node, arrays=arrays)


def _convolution(net: Network, call: Call) -> Value:
    """Return a convolution of either kind."""
    return _conv_transpose(net, call) if call.get("transposed") else _conv(net, call)


# Pools


def _window(call: Call, rank: int, dilation: list[int]) -> dict[str, Any]:
    kernel = call.by_axis("kernel_size", rank)
    stride = call.by_axis("stride", rank) if call.get("stride") not in (None, []) else kernel
    sides = call.by_axis("padding", rank) if call.get("padding") is not None else [0] * rank
    border = call.border or [(0, 0)] * rank
    pads = [(n + before, n + after) for n, (before, after) in zip(sides, border, strict=True)]
    fields = window(kernel, stride, dilation, padding(pads, kernel, dilation))
    return fields | ({"rounding": "ceil"} if call.get("ceil_mode") else {})


def _max_pool(net: Network, call: Call) -> Value:
    rank = int(call.op[len("max_pool")])
    return pooled(net, _samples(net, call.value(), rank), MaxPool, _window(call, rank, call.by_axis("dilation", rank)))


def _max_pool_with_indices(net: Network, call: Call) -> list[Value]:
    return [_max_pool(net, call)]


def _avg_pool(net: Network, call: Call) -> Value:
    call.refuse(divisor_override=None)
    rank = int(call.op[len("avg_pool")])
    fields = _window(call, rank, [1] * rank)
    del fields["dilation"]
    fields["count_padding"] = bool(call.get("count_include_pad")) or fields["padding"] == "valid"
    return pooled(net, _samples(net, call.value(), rank), AvgPool, fields)


def _adaptive_pool(net: Network, call: Call) -> Value:
    """Return an adaptive pool; a size that is None is that of the input."""
    cls: type[AdaptiveAvgPool | AdaptiveMaxPool] = AdaptiveAvgPool if "avg" in call.op else AdaptiveMaxPool
    rank = int(call.op.split("pool")[1][0])
    x = _samples(net, call.value(), rank)
    given = call.get("output_size")
    sizes = list(given) if isinstance(given, list | tuple) else [given]
    sizes = sizes * rank if len(sizes) == 1 else sizes
    wanted = tuple(n if size is None else int(size) for n, size in zip(x.shape[2:], sizes, strict=True))
    return x if wanted == x.shape[2:] else net.add(cls(size=short_form(wanted)), x.node)


def _adaptive_max_pool(net: Network, call: Call) -> list[Value]:
    return [_adaptive_pool(net, call)]


# Products


def _linear(net: Network, call: Call) -> Value:
    weight = call.array("weight")
    if weight is None or weight.ndim != 2:
        raise Unsupported("its weight is no matrix")
    return product(net, call.value("input"), weight, call.array("bias"))


def _addmm(net: Network, call: Call) -> Value:
    """Return beta · self + alpha · mat1 · mat2."""
    call.refuse(beta=1, alpha=1)
    a, b = (call.operand(name) for name in (("batch1", "batch2") if call.op == "baddbmm" else ("mat1", "mat2")))
    return total(net, [matrix_product(net, a, b), call.operand("self")])


def _matmul(net: Network, call: Call) -> Value:
    return matrix_product(net, call.operand("self"), call.operand("other" if call.op == "matmul" else "mat2"))


OPERATORS: dict[str, Convert] = {
    **{f"conv{rank}d": _conv for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _conv_transpose for rank in (1, 2, 3)},
    "convolution": _convolution,
    **{f"max_pool{rank}d": _max_pool for rank in (1, 2, 3)},
    **{f"max_pool{rank}d_with_indices": _max_pool_with_indices for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": _avg_pool for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": _adaptive_pool for rank in (1, 2, 3)},
    **{f"_adaptive_avg_pool{rank}d": _adaptive_pool for rank in (2, 3)},
    **{f"adaptive_max_pool{rank}d": _adaptive_max_pool for rank in (1, 2, 3)},
    "linear": _linear,
    "addmm": _addmm,
    "addbmm": _addmm,
    "baddbmm": _addmm,
    "mm": _matmul,
    "bmm": _matmul,
    "matmul": _matmul,
}
"""The operators with windows, and products."""
