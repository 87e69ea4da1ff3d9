"""One function a layer, named as the layer's kind: `op(at, *inputs, **parameters)`, images [n, c, h, w].

`at` is the layer in its place (`cnnspec_torch.module.LayerModule`): its node, its fields, whether it trains.
Pads and shapes come from the node, which has them from the layer's shape rule.
"""

# ruff: noqa: D103  (what a layer computes stands in its class)

from __future__ import annotations

from functools import reduce
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.layers.geometry import Pads, centred
from cnnspec_torch import distributed
from cnnspec_torch.layer import Op

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.layers.activation import Elu, Gelu, LeakyRelu, Softplus
    from cnnspec.layers.conv import Conv, ConvTranspose
    from cnnspec.layers.dense import Dropout
    from cnnspec.layers.norm import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm, Scale
    from cnnspec.layers.pool import AdaptiveAvgPool, AvgPool, MaxPool
    from cnnspec.layers.shape import ChannelShuffle, Pad, Slice, Upsample
    from cnnspec_torch.layer import LayerModule

    At = LayerModule[Layer]


ENTRY_POINTS = "cnnspec_torch.ops"
_NO_PADS = Pads(0, 0, 0, 0)


def input(at: At, x: Tensor) -> Tensor:
    return x


# Windows


def _pad_by(x: Tensor, pads: Pads, overhang: tuple[int, int] = (0, 0), value: float = 0.0) -> Tensor:
    """The image with its border, and below and to the right of that what a ceil rounding reaches."""
    widths = (pads.left, pads.right + overhang[1], pads.top, pads.bottom + overhang[0])
    return F.pad(x, widths, value=value) if any(widths) else x


def conv(at: LayerModule[Conv], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads = at.node.pads or _NO_PADS
    padding = (pads.top, pads.left)
    if not pads.symmetric:
        x, padding = _pad_by(x, pads), (0, 0)
    if at.layer.flip:
        weight = weight.flip(2, 3)
    return F.conv2d(x, weight, bias, at.layer.stride, padding, at.layer.dilation, at.layer.groups)


def conv_transpose(at: LayerModule[ConvTranspose], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    pads, layer = at.node.pads or _NO_PADS, at.layer
    padding = (pads.top, pads.left) if pads.symmetric else (0, 0)
    y = F.conv_transpose2d(
        x, weight, bias, layer.stride, padding, at.node.overhang, layer.groups, layer.dilation
    )  # fmt: skip
    if pads.symmetric:
        return y
    _, oh, ow = at.node.shape
    return y[:, :, pads.top : pads.top + oh, pads.left : pads.left + ow]


def _pool_takes(pads: Pads, kernel: tuple[int, int]) -> bool:
    # Torch's pools refuse pads of more than half a window.
    return pads.symmetric and 2 * pads.top <= kernel[0] and 2 * pads.left <= kernel[1]


def max_pool(at: LayerModule[MaxPool], x: Tensor) -> Tensor:
    pads, kernel = at.node.pads or _NO_PADS, at.layer.kernel
    if not any(at.node.overhang) and _pool_takes(pads, kernel):
        return F.max_pool2d(x, kernel, at.layer.stride, (pads.top, pads.left))
    return F.max_pool2d(_pad_by(x, pads, at.node.overhang, value=-torch.inf), kernel, at.layer.stride)


def avg_pool(at: LayerModule[AvgPool], x: Tensor) -> Tensor:
    pads, overhang, layer = at.node.pads or _NO_PADS, at.node.overhang, at.layer
    if not any(overhang) and _pool_takes(pads, layer.kernel):
        padding = (pads.top, pads.left)
        return F.avg_pool2d(x, layer.kernel, layer.stride, padding, count_include_pad=layer.count_padding)
    ones = torch.ones_like(x[:1, :1])
    counted = _pad_by(_pad_by(ones, pads, value=float(layer.count_padding)), _NO_PADS, overhang)
    total, count = (
        F.avg_pool2d(image, layer.kernel, layer.stride, divisor_override=1)
        for image in (_pad_by(x, pads, overhang), counted)
    )
    return total / count


def global_avg_pool(at: At, x: Tensor) -> Tensor:
    return x.mean((2, 3))


def global_max_pool(at: At, x: Tensor) -> Tensor:
    # As max_pool does, and amax does not: among equals, the gradient goes to the first.
    return F.adaptive_max_pool2d(x, 1).flatten(1)


def adaptive_avg_pool(at: LayerModule[AdaptiveAvgPool], x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, at.layer.size)


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
    pads, layer = at.node.pads or _NO_PADS, at.layer
    if layer.mode == "constant":
        return _pad_by(x, pads, value=layer.value)
    mode = {"reflect": "reflect", "edge": "replicate"}[layer.mode]
    return F.pad(x, (pads.left, pads.right, pads.top, pads.bottom), mode)


def crop(at: At, x: Tensor) -> Tensor:
    (_, h, w), (_, oh, ow) = at.node.in_shapes[0], at.node.shape
    top, left = centred(h, oh), centred(w, ow)
    return x[:, :, top : top + oh, left : left + ow]


def channel_shuffle(at: LayerModule[ChannelShuffle], x: Tensor) -> Tensor:
    return torch.channel_shuffle(x, at.layer.groups)


def slice(at: LayerModule[Slice], x: Tensor) -> Tensor:
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


_ALL = (
    input,
    conv,
    conv_transpose,
    max_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    adaptive_avg_pool,
    dense,
    flatten,
    dropout,
    batch_norm,
    layer_norm,
    group_norm,
    local_response_norm,
    scale,
    upsample,
    pad,
    crop,
    channel_shuffle,
    slice,
    relu,
    relu6,
    leaky_relu,
    prelu,
    elu,
    selu,
    gelu,
    silu,
    mish,
    sigmoid,
    hard_sigmoid,
    tanh,
    hard_swish,
    softplus,
    softmax,
    log_softmax,
    add,
    multiply,
    concat,
)

OPS: dict[str, Op] = {op.__name__: op for op in _ALL}


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
