"""Resizing."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

from fractions import Fraction
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.layers.resize import Resize
from cnnspec.layers.sampling import Sampling, weights
from cnnspec_torch.layer import LayerModule
from cnnspec_torch.ops.shape import LINEAR


def resize(module: LayerModule[Resize], x: Tensor) -> Tensor:
    layer, samplings = module.layer, module.layer.samplings(module.node.in_shapes[0])
    if layer.method == "linear" and all(map(_as_torch, samplings)):
        sizes = module.node.shape[1:]
        return F.interpolate(x, sizes, mode=LINEAR[len(sizes)], align_corners=layer.coordinates == "align_corners")
    for axis, sampling in enumerate(samplings, start=2):
        x = _resized(x, axis, sampling, layer)
    return x


def _as_torch(sampling: Sampling) -> bool:
    """Whether torch computes the same coordinates from the sizes."""
    half_pixel = sampling.coordinates == "half_pixel" and sampling.scale == Fraction(sampling.out, sampling.n)
    return half_pixel or sampling.coordinates == "align_corners"


def _resized(x: Tensor, axis: int, sampling: Sampling, layer: Resize) -> Tensor:
    taps = zip(*weights(sampling, layer.method, layer.rounding, layer.cubic_coeff), strict=True)
    parts = []
    for tap in taps:
        part = x.index_select(axis, torch.tensor([i for i, _ in tap], device=x.device))
        if layer.method != "nearest":
            factor = torch.tensor([weight for _, weight in tap], device=x.device, dtype=x.dtype)
            part = part * factor.reshape(-1, *[1] * (x.ndim - 1 - axis))
        parts.append(part)
    return reduce(torch.add, parts)
