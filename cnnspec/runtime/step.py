"""What a step of training consists of: batches, and the losses of the outputs with their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import CrossEntropy, Dice, Loss


class Term(NamedTuple):
    """The loss of an output with its targets: a term of the sum that is minimised."""

    loss: Loss
    target: Array
    """Class indices int64 [n, ...], probabilities [n, classes, ...] in their place, or numbers [n, ...]."""
    normalizer: float
    """What the loss of the whole step is divided by; of all processes, the sum of their numbers."""

    @property
    def factor(self) -> float:
        """The weight of the loss divided by the normalizer; 0 where nothing counts."""
        return self.loss.weight / self.normalizer if self.normalizer else 0.0

    @property
    def soft(self) -> bool:
        """Whether the target holds a probability for each class in place of its index."""
        return is_soft(self.loss, self.target)


@dataclass(frozen=True)
class Part:
    """One batch of a step, whose gradients are added to those of the others."""

    inputs: dict[str, Any]
    """The batch of each input by its node: an array, or `Pixels` where the model takes them."""
    terms: Mapping[str, Term]
    """The loss of each output that is trained, by its node."""
    first: int = 0
    """The position of its first sample among those of the step."""

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(next(iter(self.inputs.values())))

    @property
    def rows(self) -> slice:
        """Its samples among those of the step."""
        return slice(self.first, self.first + self.n)


def samples(parts: Sequence[Part]) -> int:
    """Return the number of samples of a step."""
    return sum(part.n for part in parts)


def is_soft(loss: Loss, target: Array) -> bool:
    """Return whether the target of a classification holds a probability for each class in place of its index."""
    return loss.targets == "classes" and target.dtype.kind == "f"


def normalizer(loss: Loss, target: Array) -> float:
    """Return the number that the loss of a batch with these targets is divided by.

    That is the sum of the weights of the targets' classes for cross-entropy, the number of samples for the dice loss,
    and the number of elements for all others.
    """
    if isinstance(loss, Dice):
        return float(len(target))
    if not isinstance(loss, CrossEntropy):
        return float(target.size)
    if is_soft(loss, target):
        weights = np.asarray(loss.class_weights or np.ones(target.shape[1]))
        return float(np.einsum("nc...,c->", target, weights, dtype=np.float64))
    if loss.ignore is not None:
        target = target[target != loss.ignore]
    return float(np.asarray(loss.class_weights)[target].sum()) if loss.class_weights else float(target.size)
