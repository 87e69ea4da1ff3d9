"""The losses of a spec as tensors that autograd differentiates: sums over a batch, before they are divided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.graph.training import L1, BinaryCrossEntropy, CrossEntropy, Dice, Huber, MeanSquaredError

_NONE = -100
"""A class that no target has, which F.cross_entropy ignores by default."""


def cross_entropy(loss: CrossEntropy, y: Tensor, target: Tensor) -> Tensor:
    """y [n, c, ...] logits, target [n, ...] or probabilities [n, c, ...] -> scalar."""
    weight = y.new_tensor(loss.class_weights) if loss.class_weights else None
    ignore = _NONE if loss.ignore is None else loss.ignore
    return F.cross_entropy(y, target, weight, None, ignore, reduction="sum", label_smoothing=loss.label_smoothing)


def dice(loss: Dice, y: Tensor, target: Tensor) -> Tensor:
    """y [n, c, ...] logits, target [n, ...] or probabilities [n, c, ...] -> scalar."""
    classes = y.shape[1]
    p = y.sigmoid() if classes == 1 else y.softmax(1)
    if target.is_floating_point():
        t = target.to(y.dtype)
    elif classes == 1:
        t = (target == 1)[:, None].to(y.dtype)
    else:
        t = (target[:, None] == torch.arange(classes, device=y.device).view(1, -1, *[1] * (y.ndim - 2))).to(y.dtype)
    if loss.ignore is not None and not target.is_floating_point():
        counts = (target != loss.ignore)[:, None]
        p, t = p * counts, t * counts
    if classes > 1 and not loss.background:
        p, t = p[:, 1:], t[:, 1:]
    axes = tuple(range(2, y.ndim))
    score = (2 * (p * t).sum(axes) + loss.smooth) / (p.sum(axes) + t.sum(axes) + loss.smooth)
    return (1 - score).mean(1).sum()


def binary_cross_entropy(loss: BinaryCrossEntropy, y: Tensor, target: Tensor) -> Tensor:
    """y [n, c, ...] logits, target [n, c, ...] -> scalar."""
    weight = y.new_tensor(loss.positive_weight).view(-1, *[1] * (y.ndim - 2))
    return F.binary_cross_entropy_with_logits(y, target, reduction="sum", pos_weight=weight)


def mean_squared_error(loss: MeanSquaredError, y: Tensor, target: Tensor) -> Tensor:
    """y and target [n, ...] -> scalar."""
    return F.mse_loss(y, target, reduction="sum")


def l1(loss: L1, y: Tensor, target: Tensor) -> Tensor:
    """y and target [n, ...] -> scalar."""
    return F.l1_loss(y, target, reduction="sum")


def huber(loss: Huber, y: Tensor, target: Tensor) -> Tensor:
    """y and target [n, ...] -> scalar."""
    return F.huber_loss(y, target, reduction="sum", delta=loss.delta)


LOSSES: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "l1": l1,
    "huber": huber,
}
