"""One function for each layer, named as its kind: `op(module, *inputs, **parameters)`, images [n, c, h, w].

`module` is a `cnnspec_torch.layer.LayerModule`: its node, its fields, and whether it trains. Windows and shapes come
from the node, which has them from the layer's shape rule.
"""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib.metadata import entry_points
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.layers import LAYERS, Layer
from cnnspec.layers.activation import Elu, Gelu, LeakyRelu, Softplus
from cnnspec.layers.conv import Conv, ConvTranspose
from cnnspec.layers.dense import Dropout
from cnnspec.layers.geometry import Window
from cnnspec.layers.input import INPUT
from cnnspec.layers.norm import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm, Scale
from cnnspec.layers.pool import AdaptiveAvgPool, AvgPool, MaxPool
from cnnspec.layers.shape import ChannelShuffle, Pad, Slice, Upsample
from cnnspec_torch import distributed
from cnnspec_torch.layer import LayerModule, Op

AnyLayer = LayerModule[Layer]

ENTRY_POINTS = "cnnspec_torch.ops"


def input(module: AnyLayer, x: Tensor) -> Tensor:
    return x


# Windows


def _pad_axes(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad x [n, c, ...] with elements before and after along each spatial axis."""
    widths = _last_axis_first(pads)
    return F.pad(x, widths, value=value) if any(widths) else x


def _last_axis_first(pads: Sequence[tuple[int, int]]) -> list[int]:
    return [n for pair in reversed(pads) for n in pair]


def padded(x: Tensor, windows: Sequence[Window], value: float = 0.0) -> Tensor:
    """Pad x with the padding of its windows, and what ceil rounding reaches beyond that."""
    return _pad_axes(x, [(w.before, w.after + w.extra) for w in windows], value)


def symmetric(windows: Sequence[Window]) -> bool:
    return all(w.before == w.after for w in windows)


def _kernel(windows: Sequence[Window]) -> list[int]:
    return [w.kernel for w in windows]


def strides(windows: Sequence[Window]) -> list[int]:
    return [w.stride for w in windows]


def pads_before(windows: Sequence[Window]) -> list[int]:
    return [w.before for w in windows]


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
    pool, kernel, stride = _MAX_POOL[len(windows)], _kernel(windows), strides(windows)
    if not torch.compiler.is_compiling() and _maximum_is_faster(x):
        return _maximum_over_windows(padded(x, windows, -torch.inf), windows)
    if _pool_pads(windows):
        return pool(x, kernel, stride, pads_before(windows))
    return pool(padded(x, windows, -torch.inf), kernel, stride)


def _maximum_is_faster(x: Tensor) -> bool:
    # Measured on the CPU: torch's own pool takes 1.5 to 16 times as long, and less time only for small arrays.
    return x.device.type == "cpu" and x.numel() >= 1 << 14 and not (torch.is_grad_enabled() and x.requires_grad)


def _maximum_over_windows(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return the maximum of each window of the padded x, one axis after the other: [n, c, ...] -> [n, c, *out]."""
    for axis, w in enumerate(windows, start=2):
        every = (slice(None),) * axis
        first, *others = (x[*every, slice(i, i + (w.out - 1) * w.stride + 1, w.stride)] for i in range(w.kernel))
        if others:
            first = torch.maximum(first, others[0])
        for tap in others[1:]:
            torch.maximum(first, tap, out=first)
        x = first
    return x


def avg_pool(module: LayerModule[AvgPool], x: Tensor) -> Tensor:
    windows, counts = module.node.windows, module.layer.count_padding
    pool, kernel, stride = _AVG_POOL[len(windows)], _kernel(windows), strides(windows)
    if _pool_pads(windows):
        return pool(x, kernel, stride, pads_before(windows), count_include_pad=counts)
    counted = _pad_axes(torch.ones_like(x[:1, :1]), [(w.before, w.after) for w in windows], float(counts))
    counted = _pad_axes(counted, [(0, w.extra) for w in windows])
    total, count = (pool(image, kernel, stride, divisor_override=1) for image in (padded(x, windows), counted))
    return total / count


def global_avg_pool(module: AnyLayer, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)))


def global_max_pool(module: AnyLayer, x: Tensor) -> Tensor:
    # As max_pool does, and amax does not: among equals, the gradient goes to the first.
    return _ADAPTIVE_MAX_POOL[x.ndim - 2](x, 1).flatten(1)


def adaptive_avg_pool(module: LayerModule[AdaptiveAvgPool], x: Tensor) -> Tensor:
    sizes = module.node.shape[1:]
    return _ADAPTIVE_AVG_POOL[len(sizes)](x, sizes)


# Vectors


def dense(module: AnyLayer, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def flatten(module: AnyLayer, x: Tensor) -> Tensor:
    return x.flatten(1)


def dropout(module: LayerModule[Dropout], x: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        return x * mask / (1 - module.layer.rate)
    return F.dropout(x, module.layer.rate, module.training)


# Normalisation


def batch_norm(
    module: LayerModule[BatchNorm], x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor
) -> Tensor:
    momentum, eps = module.layer.momentum, module.layer.eps
    if module.training and module.synchronised:
        return distributed.batch_norm(x, running_mean, running_var, weight, bias, momentum, eps)
    return F.batch_norm(x, running_mean, running_var, weight, bias, module.training, momentum, eps)


def layer_norm(module: LayerModule[LayerNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if module.layer.axes == "all":
        return F.layer_norm(x, weight.shape, weight, bias, module.layer.eps)
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, module.layer.eps).movedim(-1, 1)


def group_norm(module: LayerModule[GroupNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, module.layer.groups, weight, bias, module.layer.eps)


def local_response_norm(module: LayerModule[LocalResponseNorm], x: Tensor) -> Tensor:
    return F.local_response_norm(x, module.layer.size, module.layer.alpha, module.layer.beta, module.layer.k)


def scale(module: LayerModule[Scale], x: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return x * module.layer.value
    return x * weight.reshape(-1, *[1] * (x.ndim - 2))


# Rearranging


def upsample(module: LayerModule[Upsample], x: Tensor) -> Tensor:
    size = module.node.shape[1:]
    if module.layer.mode != "nearest":
        return F.interpolate(x, size, mode=_LINEAR[len(size)], align_corners=False)
    # Torch's `nearest` finds the source by a rounded float32 product; `nearest-exact` stays clear of the edges.
    return F.interpolate(x, size, mode="nearest-exact")


_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def pad(module: LayerModule[Pad], x: Tensor) -> Tensor:
    pads, layer = [(w.before, w.after) for w in module.node.windows], module.layer
    if layer.mode == "constant":
        return _pad_axes(x, pads, layer.value)
    mode = {"reflect": "reflect", "edge": "replicate"}[layer.mode]
    return F.pad(x, _last_axis_first(pads), mode)


def crop(module: AnyLayer, x: Tensor) -> Tensor:
    return x[:, :, *(slice(-w.before, w.out - w.before) for w in module.node.windows)]


def channel_shuffle(module: LayerModule[ChannelShuffle], x: Tensor) -> Tensor:
    return torch.channel_shuffle(x, module.layer.groups)


def slice_(module: LayerModule[Slice], x: Tensor) -> Tensor:
    first, end = module.layer.channels
    return x[:, first:end]


# Activations


def relu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.relu(x)


def relu6(module: AnyLayer, x: Tensor) -> Tensor:
    return F.relu6(x)


def leaky_relu(module: LayerModule[LeakyRelu], x: Tensor) -> Tensor:
    return F.leaky_relu(x, module.layer.slope)


def prelu(module: AnyLayer, x: Tensor, weight: Tensor) -> Tensor:
    return F.prelu(x, weight)


def elu(module: LayerModule[Elu], x: Tensor) -> Tensor:
    return F.elu(x, module.layer.alpha)


def selu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.selu(x)


def gelu(module: LayerModule[Gelu], x: Tensor) -> Tensor:
    return F.gelu(x, approximate=module.layer.approximate)


def silu(module: AnyLayer, x: Tensor) -> Tensor:
    return F.silu(x)


def mish(module: AnyLayer, x: Tensor) -> Tensor:
    return F.mish(x)


def sigmoid(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def hard_sigmoid(module: AnyLayer, x: Tensor) -> Tensor:
    # The derivative of torch's own function is 1/6 rounded to float32, in float64 too.
    return F.relu6(x + 3) / 6 if x.dtype == torch.float64 else F.hardsigmoid(x)


def tanh(module: AnyLayer, x: Tensor) -> Tensor:
    return torch.tanh(x)


def hard_swish(module: AnyLayer, x: Tensor) -> Tensor:
    return F.hardswish(x)


def softplus(module: LayerModule[Softplus], x: Tensor) -> Tensor:
    # Beyond the threshold torch returns x itself; at its default of 20 that is wrong by 2e-9.
    return F.softplus(x, module.layer.beta, threshold=40)


def softmax(module: AnyLayer, x: Tensor) -> Tensor:
    return x.softmax(1)


def log_softmax(module: AnyLayer, x: Tensor) -> Tensor:
    return x.log_softmax(1)


# Merges


def add(module: AnyLayer, *xs: Tensor) -> Tensor:
    return reduce(torch.add, xs)


def multiply(module: AnyLayer, *xs: Tensor) -> Tensor:
    rank = 1 + len(module.node.shape)
    return reduce(torch.mul, (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs))


def concat(module: AnyLayer, *xs: Tensor) -> Tensor:
    return torch.cat(xs, 1)


OPS: dict[str, Op] = {
    kind: op
    for name, op in globals().copy().items()
    if (kind := name.rstrip("_")) in (*LAYERS, INPUT) and getattr(op, "__module__", None) == __name__
}
"""The functions of this module that are called as a layer (`slice_` for `slice`, which is Python's own)."""


def ops_of(graph: Graph) -> dict[str, Op]:
    """Return the op of every kind in the graph, those of other packages by the entry points `cnnspec_torch.ops`."""
    kinds = dict.fromkeys(node.kind for node in graph.nodes)
    found = {kind: OPS[kind] for kind in kinds if kind in OPS}
    if len(found) < len(kinds):
        found |= {point.name: point.load() for point in entry_points(group=ENTRY_POINTS) if point.name in kinds}
    missing = [kind for kind in kinds if kind not in found]
    if missing:
        raise BackendError(
            f"the torch backend has no op for {', '.join(f'`{kind}`' for kind in missing)}; "
            f"a package adds one through the entry-point group `{ENTRY_POINTS}`"
        )
    return found
