"""The modules of layers that sample between positions, or weigh them against each other."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from cnnspec.bench.torch_parts import Apply, Parameters, by_rank, loaded, of_axes
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Node


class Attention(nn.Module):
    """nn.MultiheadAttention of the positions of an image with each other."""

    def __init__(self, channels: int, heads: int, own: Parameters) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads, bias="in_proj_bias" in own, batch_first=True)
        self.attention.out_proj = NonDynamicallyQuantizableLinear(channels, channels, "out_proj.bias" in own)
        loaded(self.attention, {key: value for key, value in own.items() if key.startswith("in_proj")})
        loaded(self.attention.out_proj, {key[9:]: value for key, value in own.items() if key.startswith("out_proj.")})

    def forward(self, x: Tensor) -> Tensor:
        """x [n, c, ...] -> y [n, c, ...]."""
        tokens = x.flatten(2).transpose(1, 2)
        y: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return y.transpose(1, 2).reshape(x.shape)


class PositionEmbedding(nn.Module):
    """A learned number for each channel at each position."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """x [n, ...] -> y [n, ...]."""
        return x + self.weight


def _resize(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    samplings, size = layer.samplings(node.in_shapes[0]), node.shape[1:]
    aligned = layer.coordinates == "align_corners"
    exact = aligned or all(s.scale == Fraction(s.out, s.n) for s in samplings)
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    mode = {
        ("nearest", "asymmetric", "floor"): "nearest",
        ("nearest", "half_pixel", "round_prefer_ceil"): "nearest-exact",
        ("linear", layer.coordinates, layer.rounding): linear,
        ("cubic", layer.coordinates, layer.rounding): "bicubic",
    }.get((layer.method, layer.coordinates, layer.rounding))
    interpolates = layer.method != "nearest"
    other = interpolates and layer.coordinates == "asymmetric"
    other |= layer.method == "cubic" and (len(size) != 2 or layer.cubic_coeff != -0.75)
    if mode is None or other or not exact:
        raise BackendError(f"torch.nn has no resize of these coordinates (`{node.name}`)")
    return Apply(lambda x: F.interpolate(x, size, mode=mode, align_corners=aligned if interpolates else None))


def _lp_pool(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    plain = all((w.dilation, w.before, w.after, w.extra) == (1, 0, 0, 0) for w in node.windows)
    if layer.p % 2 or not plain:
        raise BackendError(f"torch.nn has no lp_pool of absolute values, with padding or with gaps (`{node.name}`)")
    return by_rank("LPPool", node.shape, layer.p, of_axes(node.windows, "kernel"), of_axes(node.windows, "stride"))


def _attention(node: Node, own: Parameters) -> nn.Module:
    layer: Any = node.layer
    if layer.bias and not layer.adds_output_bias:  # its fast path takes both, or none of the first projection
        raise BackendError(f"torch.nn has no attention with a bias but for its output (`{node.name}`)")
    return Attention(node.shape[0], layer.heads, own)


MODULES: dict[str, Callable[[Node, Parameters], nn.Module]] = {
    "resize": _resize,
    "lp_pool": _lp_pool,
    "attention": _attention,
    "position_embedding": lambda node, own: PositionEmbedding(own["weight"]),
}
"""A module for each kind of layer, of its node and its parameters by key."""
