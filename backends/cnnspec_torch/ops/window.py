"""Convolutions and pools."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.geometry import Window
from cnnspec.layers.pool import AvgPool, MaxPool
from cnnspec_torch.layer import AnyLayer, LayerModule, Op
from cnnspec_torch.ops.padding import kernels, pad_axes, padded, pads_before, strides, symmetric


def _avg_pool1d(
    x: Tensor, kernel: list[int], stride: list[int], padding: Sequence[int] = (0,), **kwargs: Any
) -> Tensor:
    # F.avg_pool1d takes no divisor: the axis is one row of an image.
    return F.avg_pool2d(x[:, :, None], (1, *kernel), (1, *stride), (0, *padding), **kwargs)[:, :, 0]


# Torch has one function for each number of spatial axes.
_CONV: dict[int, Op] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Op] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL: dict[int, Op] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOL: dict[int, Op] = {1: _avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_MAX_POOL: dict[int, Op] = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
_ADAPTIVE_AVG_POOL: dict[int, Op] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def conv(module: LayerModule[Conv], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    windows, padding = module.node.windows, pads_before(module.node.windows)
    if not symmetric(windows):
        x, padding = padded(x, windows), [0] * len(windows)
    if module.layer.flip:
        weight = weight.flip(tuple(range(2, weight.ndim)))
    dilation = [w.dilation for w in windows]
    return _CONV[len(windows)](x, weight, bias, strides(windows), padding, dilation, module.layer.groups)


def conv_transpose(module: LayerModule[ConvTranspose], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    windows = module.node.windows
    whole = symmetric(windows)
    padding = pads_before(windows) if whole else [0] * len(windows)
    extra, dilation = [w.extra for w in windows], [w.dilation for w in windows]
    y = _CONV_TRANSPOSE[len(windows)](x, weight, bias, strides(windows), padding, extra, module.layer.groups, dilation)
    # Torch takes no padding that differs on the two sides: what it would cut is cut here.
    return y if whole else y[:, :, *(slice(w.before, w.before + w.out) for w in windows)]


def _pool_pads(windows: Sequence[Window]) -> bool:
    """Whether torch's pools take the padding themselves: they refuse pads of more than half a window."""
    return symmetric(windows) and all(2 * w.before <= w.kernel and not w.extra for w in windows)


def max_pool(module: LayerModule[MaxPool], x: Tensor) -> Tensor:
    windows = module.node.windows
    pool, kernel, stride = _MAX_POOL[len(windows)], kernels(windows), strides(windows)
    dilation = [w.dilation for w in windows]
    if not torch.compiler.is_compiling() and _maximum_is_faster(x):
        return _maximum_over_windows(padded(x, windows, -torch.inf), windows)
    if _pool_pads(windows):
        return pool(x, kernel, stride, pads_before(windows), dilation)
    return pool(padded(x, windows, -torch.inf), kernel, stride, 0, dilation)


def _maximum_is_faster(x: Tensor) -> bool:
    # Measured on the CPU: torch's own pool takes 1.5 to 16 times as long, and less time only for small arrays.
    return x.device.type == "cpu" and x.numel() >= 1 << 14 and not (torch.is_grad_enabled() and x.requires_grad)


def _maximum_over_windows(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return the maximum of each window of the padded x, one axis after the other: [n, c, ...] -> [n, c, *out]."""
    for axis, w in enumerate(windows, start=2):
        every = (slice(None),) * axis
        first, *others = (x[*every, _under(i, w)] for i in range(w.kernel))
        if others:
            first = torch.maximum(first, others[0])
        for tap in others[1:]:
            torch.maximum(first, tap, out=first)
        x = first
    return x


def avg_pool(module: LayerModule[AvgPool], x: Tensor) -> Tensor:
    windows, counts = module.node.windows, module.layer.count_padding
    pool, kernel, stride = _AVG_POOL[len(windows)], kernels(windows), strides(windows)
    dilated = any(w.dilation > 1 for w in windows)
    if _pool_pads(windows) and not dilated:
        return pool(x, kernel, stride, pads_before(windows), count_include_pad=counts)
    counted = pad_axes(torch.ones_like(x[:1, :1]), [(w.before, w.after) for w in windows], float(counts))
    counted = pad_axes(counted, [(0, w.extra) for w in windows])
    if dilated:
        return _sum_of_taps(padded(x, windows), windows) / _sum_of_taps(counted, windows)
    total, count = (pool(image, kernel, stride, divisor_override=1) for image in (padded(x, windows), counted))
    return total / count


def _under(tap: int, w: Window) -> slice:
    """Return the elements along one axis of a padded tensor that a tap lies on, at all positions."""
    first = tap * w.dilation
    return slice(first, first + (w.out - 1) * w.stride + 1, w.stride)


def _sum_of_taps(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return the sum of each window of the padded x, one axis after the other: [n, c, ...] -> [n, c, *out]."""
    for axis, w in enumerate(windows, start=2):
        every = (slice(None),) * axis
        x = reduce(torch.add, (x[*every, _under(i, w)] for i in range(w.kernel)))
    return x


def global_avg_pool(module: AnyLayer, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)))


def global_max_pool(module: AnyLayer, x: Tensor) -> Tensor:
    # As max_pool does, and amax does not: among equals, the gradient goes to the first.
    return _ADAPTIVE_MAX_POOL[x.ndim - 2](x, 1).flatten(1)


def adaptive_max_pool(module: AnyLayer, x: Tensor) -> Tensor:
    sizes = module.node.shape[1:]
    return _ADAPTIVE_MAX_POOL[len(sizes)](x, sizes)


def adaptive_avg_pool(module: AnyLayer, x: Tensor) -> Tensor:
    sizes = module.node.shape[1:]
    return _ADAPTIVE_AVG_POOL[len(sizes)](x, sizes)
