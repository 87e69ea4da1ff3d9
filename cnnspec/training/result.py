"""What a training returns, and how it ends before its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cnnspec.display import Rich
from cnnspec.training.evaluation import Evaluation


class Interrupted(Exception):
    """Raised when training was asked to stop, after its checkpoint was written."""


@dataclass
class Result(Rich):
    """The result of a training."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    """A record for each epoch, as in metrics.jsonl."""
    losses: list[float] = field(default_factory=list)
    """The loss of every step of this process."""
    best_epoch: int = 0
    """The epoch of the best checkpoint."""
    stopped_early: bool = False
    """Whether training ended because the monitored value had not improved for a while."""
    test: Evaluation | None = None
    """Evaluation of the best weights on the test data; None without test data."""
