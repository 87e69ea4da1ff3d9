"""The losses of a spec as tensors that autograd differentiates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cnnspec.graph.training import CrossEntropy, MeanSquaredError


def cross_entropy(loss: CrossEntropy, y: Tensor, target: Tensor) -> Tensor:
    """y [n, c] logits, target [n] -> scalar."""
    return F.cross_entropy(y, target, label_smoothing=loss.label_smoothing)


def mean_squared_error(loss: MeanSquaredError, y: Tensor, target: Tensor) -> Tensor:
    """y and target [n, ...] -> scalar."""
    return F.mse_loss(y, target)


LOSSES: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
}
