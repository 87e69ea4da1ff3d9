"""Attention over positions, and embeddings of positions."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.attention import Attention
from cnnspec_torch.layer import AnyLayer, LayerModule


def attention(
    module: LayerModule[Attention],
    x: Tensor,
    in_proj_weight: Tensor,
    out_proj_weight: Tensor,
    in_proj_bias: Tensor | None = None,
    out_proj_bias: Tensor | None = None,
) -> Tensor:
    n, c = x.shape[:2]
    heads = module.layer.heads
    projected = F.linear(x.flatten(2).transpose(1, 2), in_proj_weight, in_proj_bias)  # [n, t, 3c]
    q, k, v = projected.reshape(n, -1, 3, heads, c // heads).permute(2, 0, 3, 1, 4)  # each [n, heads, t, c/heads]
    seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # [n, t, c]
    return F.linear(seen, out_proj_weight, out_proj_bias).transpose(1, 2).reshape(x.shape)


def position_embedding(module: AnyLayer, x: Tensor, weight: Tensor) -> Tensor:
    return x + weight
