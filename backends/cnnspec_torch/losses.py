"""The losses of a spec as functions of tensors: sums over a batch, before they are divided.

Numbers of a loss's settings are brought to the device when its function is made, since a copy at each step would wait
for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnspec.graph.training import L1, BinaryCrossEntropy, CrossEntropy, Dice, Huber, MeanSquaredError

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(y, target) -> scalar; y is in the data type of the weights."""

_NONE = -100
"""A class that no target has, which F.cross_entropy ignores by default."""


def cross_entropy(loss: CrossEntropy, like: Tensor) -> LossFunction:
    """y [n, c, ...] logits, target [n, ...] or probabilities [n, c, ...]."""
    return partial(
        F.cross_entropy,
        weight=like.new_tensor(loss.class_weights) if loss.class_weights else None,
        ignore_index=_NONE if loss.ignore is None else loss.ignore,
        reduction="sum",
        label_smoothing=loss.label_smoothing,
    )


def dice(loss: Dice, like: Tensor) -> LossFunction:
    """y [n, c, ...] logits, target [n, ...] or probabilities [n, c, ...]."""
    return partial(_dice, loss)


def _dice(loss: Dice, y: Tensor, target: Tensor) -> Tensor:
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


def binary_cross_entropy(loss: BinaryCrossEntropy, like: Tensor) -> LossFunction:
    """y [n, c, ...] logits, target [n, c, ...]."""
    weight = like.new_tensor(loss.positive_weight)

    def function(y: Tensor, target: Tensor) -> Tensor:
        of_channels = weight.view(-1, *[1] * (y.ndim - 2))
        return F.binary_cross_entropy_with_logits(y, target, reduction="sum", pos_weight=of_channels)

    return function


def mean_squared_error(loss: MeanSquaredError, like: Tensor) -> LossFunction:
    """y and target [n, ...]."""
    return partial(F.mse_loss, reduction="sum")


def l1(loss: L1, like: Tensor) -> LossFunction:
    """y and target [n, ...]."""
    return partial(F.l1_loss, reduction="sum")


def huber(loss: Huber, like: Tensor) -> LossFunction:
    """y and target [n, ...]."""
    return partial(F.huber_loss, reduction="sum", delta=loss.delta)


LOSSES: dict[str, Callable[[Any, Tensor], LossFunction]] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "binary_cross_entropy": binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "l1": l1,
    "huber": huber,
}
"""(settings, a tensor with the device and the data type of the weights) -> the function."""
