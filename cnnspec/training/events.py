"""What a training reports while it runs, to callbacks in Python, logs and the progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnspec.graph.training import Train


@dataclass(frozen=True)
class RunStarted:
    """Training begins, or goes on."""

    name: str
    """The name of the network."""
    settings: Train
    epoch: int
    """Completed epochs: 0 for a new run."""
    steps: int
    """Number of steps in an epoch."""
    samples: int
    """Number of training samples."""
    folder: Path | None
    """The folder of the run, if it has one."""


@dataclass(frozen=True)
class StepFinished:
    """A step was made."""

    epoch: int
    """Counted from 1."""
    step: int
    """Completed steps of the epoch."""
    steps: int
    """Number of steps in an epoch."""
    loss: float
    """Loss of this step's batch."""
    mean_loss: float
    """Mean loss of the epoch so far."""
    metrics: Mapping[str, float | None]
    """The metrics of the epoch so far, with each sample's output from before its step; those of several outputs as
    `output.metric`."""
    samples: int
    """Samples of this epoch that this process was given, so far."""
    seconds: float
    """Time for these samples, in seconds."""

    @property
    def accuracy(self) -> float | None:
        """Accuracy of the epoch so far; None where the network has several outputs, or no classes."""
        return self.metrics.get("accuracy")


@dataclass(frozen=True)
class EpochFinished:
    """An epoch is over, and its checkpoints are written."""

    record: Mapping[str, Any]
    """The record of the epoch, as in metrics.jsonl."""
    best: bool
    """Whether it is the best epoch so far."""


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint is complete on the disk."""

    path: Path


@dataclass(frozen=True)
class RunFinished:
    """Training is over."""

    best_epoch: int
    stopped_early: bool


Event = RunStarted | StepFinished | EpochFinished | CheckpointWritten | RunFinished
Callback = Callable[[Event], None]
