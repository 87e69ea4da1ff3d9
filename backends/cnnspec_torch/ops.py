"""One function a layer, named as the layer's kind: `op(at, *inputs, **parameters)`, images [n, c, h, w].

`at` is the layer in its place (`cnnspec_torch.module.LayerModule`): its node, its fields, whether it trains.
Pads and shapes come from the node, which has them from the layer's shape rule.
"""

# ruff: noqa: D103  (what a layer computes stands in its class)

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib.metadata import entry_points

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

At = LayerModule[Layer]

ENTRY_POINTS = "cnnspec_torch.ops"


def input(at: At, x: Tensor) -> Tensor:
    return x


# Windows


def _pad_axes(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad x [n, c, ...] with elements before and after along each spatial axis."""
    widths = _last_axis_first(pads)
    return F.pad(x, widths, value=value) if any(widths) else x


def _last_axis_first(pads: Sequence[tuple[int, int]]) -> list[int]:
    return [n for pair in reversed(pads) for n in pair]


def _padded(x: Tensor, windows: Sequence[Window], value: float = 0.0) -> Tensor:
    """Pad x with the padding of its windows, and what ceil rounding reaches beyond that."""
    return _pad_axes(x, [(w.before, w.after + w.extra) for w in windows], value)


def _symmetric(windows: Sequence[Window]) -> bool:
    return all(w.before == w.after for w in windows)


def _kernel(windows: Sequence[Window]) -> list[int]:
    return [w.kernel for w in windows]


def _stride(windows: Sequence[Window]) -> list[int]:
    return [w.stride for w in windows]


def _before(windows: Sequence[Window]) -> list[int]:
    return [w.before for w in windows]


# Torch has one function for each number of spatial axes.
_CONV: dict[int, Op] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Op] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL: dict[int, Op] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOL: dict[int, Op] = {2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_AVG_POOL: dict[int, Op] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def conv(at: LayerModule[Conv], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    windows, padding = at.node.windows, _before(at.node.windows)
    if not _symmetric(windows):
        x, padding = _padded(x, windows), [0] * len(windows)
    if at.layer.flip:
        weight = weight.flip(tuple(range(2, weight.ndim)))
    dilation = [w.dilation for w in windows]
    return _CONV[len(windows)](x, weight, bias, _stride(windows), padding, dilation, at.layer.groups)


def conv_transpose(at: LayerModule[ConvTranspose], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    windows = at.node.windows
    symmetric = _symmetric(windows)
    padding = _before(windows) if symmetric else [0] * len(windows)
    extra, dilation = [w.extra for w in windows], [w.dilation for w in windows]
    y = _CONV_TRANSPOSE[len(windows)](x, weight, bias, _stride(windows), padding, extra, at.layer.groups, dilation)
    # Torch takes no padding that differs on the two sides: what it would cut is cut here.
    return y if symmetric else y[:, :, *(slice(w.before, w.before + w.out) for w in windows)]


def _pool_pads(windows: Sequence[Window]) -> bool:
    """Whether torch's pools take the padding themselves: they refuse pads of more than half a window."""
    return _symmetric(windows) and all(2 * w.before <= w.kernel and not w.extra for w in windows)


def max_pool(at: LayerModule[MaxPool], x: Tensor) -> Tensor:
    windows = at.node.windows
    pool, kernel, stride = _MAX_POOL[len(windows)], _kernel(windows), _stride(windows)
    if _pool_pads(windows):
        return pool(x, kernel, stride, _before(windows))
    return pool(_padded(x, windows, -torch.inf), kernel, stride)


def avg_pool(at: LayerModule[AvgPool], x: Tensor) -> Tensor:
    windows, counts = at.node.windows, at.layer.count_padding
    pool, kernel, stride = _AVG_POOL[len(windows)], _kernel(windows), _stride(windows)
    if _pool_pads(windows):
        return pool(x, kernel, stride, _before(windows), count_include_pad=counts)
    counted = _pad_axes(torch.ones_like(x[:1, :1]), [(w.before, w.after) for w in windows], float(counts))
    counted = _pad_axes(counted, [(0, w.extra) for w in windows])
    total, count = (pool(image, kernel, stride, divisor_override=1) for image in (_padded(x, windows), counted))
    return total / count


def global_avg_pool(at: At, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)))


def global_max_pool(at: At, x: Tensor) -> Tensor:
    # As max_pool does, and amax does not: among equals, the gradient goes to the first.
    return F.adaptive_max_pool2d(x, 1).flatten(1)


def adaptive_avg_pool(at: LayerModule[AdaptiveAvgPool], x: Tensor) -> Tensor:
    sizes = at.node.shape[1:]
    return _ADAPTIVE_AVG_POOL[len(sizes)](x, sizes)


# Vectors


def dense(at: At, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def flatten(at: At, x: Tensor) -> Tensor:
    return x.flatten(1)


def dropout(at: LayerModule[Dropout], x: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        return x * mask / (1 - at.layer.rate)
    return F.dropout(x, at.layer.rate, at.training)


# Normalisation


def batch_norm(
    at: LayerModule[BatchNorm], x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor
) -> Tensor:
    momentum, eps = at.layer.momentum, at.layer.eps
    if at.training and at.synchronised:
        return distributed.batch_norm(x, running_mean, running_var, weight, bias, momentum, eps)
    return F.batch_norm(x, running_mean, running_var, weight, bias, at.training, momentum, eps)


def layer_norm(at: LayerModule[LayerNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if at.layer.axes == "all":
        return F.layer_norm(x, weight.shape, weight, bias, at.layer.eps)
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, at.layer.eps).movedim(-1, 1)


def group_norm(at: LayerModule[GroupNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, at.layer.groups, weight, bias, at.layer.eps)


def local_response_norm(at: LayerModule[LocalResponseNorm], x: Tensor) -> Tensor:
    return F.local_response_norm(x, at.layer.size, at.layer.alpha, at.layer.beta, at.layer.k)


def scale(at: LayerModule[Scale], x: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return x * at.layer.value
    return x * weight.reshape(-1, *[1] * (x.ndim - 2))


# Moving numbers about


def upsample(at: LayerModule[Upsample], x: Tensor) -> Tensor:
    size = at.node.shape[1:]
    if at.layer.mode == "bilinear":
        return F.interpolate(x, size, mode="bilinear", align_corners=False)
    # Torch's `nearest` finds the source by a rounded float32 product; `nearest-exact` stays clear of the edges.
    return F.interpolate(x, size, mode="nearest-exact")


def pad(at: LayerModule[Pad], x: Tensor) -> Tensor:
    pads, layer = [(w.before, w.after) for w in at.node.windows], at.layer
    if layer.mode == "constant":
        return _pad_axes(x, pads, layer.value)
    mode = {"reflect": "reflect", "edge": "replicate"}[layer.mode]
    return F.pad(x, _last_axis_first(pads), mode)


def crop(at: At, x: Tensor) -> Tensor:
    return x[:, :, *(slice(-w.before, w.out - w.before) for w in at.node.windows)]


def channel_shuffle(at: LayerModule[ChannelShuffle], x: Tensor) -> Tensor:
    return torch.channel_shuffle(x, at.layer.groups)


def slice_(at: LayerModule[Slice], x: Tensor) -> Tensor:
    first, end = at.layer.channels
    return x[:, first:end]


# Activations


def relu(at: At, x: Tensor) -> Tensor:
    return F.relu(x)


def relu6(at: At, x: Tensor) -> Tensor:
    return F.relu6(x)


def leaky_relu(at: LayerModule[LeakyRelu], x: Tensor) -> Tensor:
    return F.leaky_relu(x, at.layer.slope)


def prelu(at: At, x: Tensor, weight: Tensor) -> Tensor:
    return F.prelu(x, weight)


def elu(at: LayerModule[Elu], x: Tensor) -> Tensor:
    return F.elu(x, at.layer.alpha)


def selu(at: At, x: Tensor) -> Tensor:
    return F.selu(x)


def gelu(at: LayerModule[Gelu], x: Tensor) -> Tensor:
    return F.gelu(x, approximate=at.layer.approximate)


def silu(at: At, x: Tensor) -> Tensor:
    return F.silu(x)


def mish(at: At, x: Tensor) -> Tensor:
    return F.mish(x)


def sigmoid(at: At, x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def hard_sigmoid(at: At, x: Tensor) -> Tensor:
    return F.hardsigmoid(x)


def tanh(at: At, x: Tensor) -> Tensor:
    return torch.tanh(x)


def hard_swish(at: At, x: Tensor) -> Tensor:
    return F.hardswish(x)


def softplus(at: LayerModule[Softplus], x: Tensor) -> Tensor:
    # Beyond the threshold torch returns x itself; at its default of 20 that is wrong by 2e-9.
    return F.softplus(x, at.layer.beta, threshold=40)


def softmax(at: At, x: Tensor) -> Tensor:
    return x.softmax(1)


def log_softmax(at: At, x: Tensor) -> Tensor:
    return x.log_softmax(1)


# Merges


def add(at: At, *xs: Tensor) -> Tensor:
    return reduce(torch.add, xs)


def multiply(at: At, *xs: Tensor) -> Tensor:
    rank = 1 + len(at.node.shape)
    return reduce(torch.mul, (x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs))


def concat(at: At, *xs: Tensor) -> Tensor:
    return torch.cat(xs, 1)


OPS: dict[str, Op] = {
    kind: op
    for name, op in globals().copy().items()
    if (kind := name.rstrip("_")) in (*LAYERS, INPUT) and getattr(op, "__module__", None) == __name__
}
"""The functions of this module that are called as a layer (`slice_` for `slice`, which is Python's own)."""


def ops_of(graph: Graph) -> dict[str, Op]:
    """The op of every kind in the graph; kinds that are not ours come from the entry points `cnnspec_torch.ops`."""
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
