"""Dense layers and flattening."""

# ruff: noqa: D103  (what a layer computes is documented in its class)

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cnnspec_torch.layer import AnyLayer


def dense(module: AnyLayer, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


def flatten(module: AnyLayer, x: Tensor) -> Tensor:
    return x.flatten(1)
