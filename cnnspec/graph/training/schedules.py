"""Schedules: the learning rate over time."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from cnnspec.graph.settings import Choice, Rate, UnitInterval
from cnnspec.graph.training.types import Epochs
from cnnspec.layers.fields import Count

Drop = Annotated[float, Field(gt=0, le=1)]


class Schedule(Choice):
    """The learning rate over time, as a factor of the optimizer's learning rate."""

    warmup: Rate = 0.0
    """Epochs of linear warm-up from zero."""

    def factor(self, epoch: float, epochs: int) -> float:
        """Return the factor at a time in epochs, which may be a fraction."""
        if epoch < self.warmup:
            return epoch / self.warmup
        return self.after_warmup(epoch, epochs)

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return the factor after the warm-up."""
        return 1.0

    def progress(self, epoch: float, epochs: int) -> float:
        """Return the fraction of the time after the warm-up that has passed."""
        return min(1.0, (epoch - self.warmup) / max(1e-9, epochs - self.warmup))


class Constant(Schedule):
    """A constant learning rate."""

    kind = "constant"


class Step(Schedule):
    """The learning rate times `drop`, every `every` epochs."""

    kind = "step"
    main = "every"

    every: Count
    """Number of epochs between two drops."""
    drop: Drop = 0.1
    """Factor by which the learning rate is multiplied."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return drop^⌊epoch / every⌋."""
        return float(self.drop ** (epoch // self.every))


class Milestones(Schedule):
    """The learning rate times `drop`, after each of the epochs `at`."""

    kind = "milestones"
    main = "at"

    at: Epochs
    """The numbers of epochs after which it drops, in ascending order."""
    drop: Drop = 0.1
    """Factor by which the learning rate is multiplied."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return drop to the number of milestones that have passed."""
        return float(self.drop ** sum(epoch >= at for at in self.at))


def _annealed(first: float, last: float, progress: float) -> float:
    """Return last + (first − last)·(1 + cos(π·progress)) / 2."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


class Cosine(Schedule):
    """Cosine annealing from the full learning rate to a fraction of it (Loshchilov & Hutter 2016)."""

    kind = "cosine"
    main = "final"

    final: UnitInterval = 0.0
    """Fraction of the learning rate at the end."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return final + (1 − final)·(1 + cos(π·progress)) / 2."""
        return _annealed(1.0, self.final, self.progress(epoch, epochs))


class OneCycle(Schedule):
    """From `start` up to the full learning rate at `peak`, and down to `final`, both along a cosine (Smith 2018).

    The momentum of the optimizer stays as it is.
    """

    kind = "one_cycle"
    main = "peak"

    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Fraction of the training at which the learning rate is the full one."""
    start: UnitInterval = 0.04
    """Fraction of the learning rate at the start."""
    final: UnitInterval = 4e-6
    """Fraction of the learning rate at the end."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return the factor on the way up or down."""
        progress = self.progress(epoch, epochs)
        if progress < self.peak:
            return _annealed(self.start, 1.0, progress / self.peak)
        return _annealed(1.0, self.final, (progress - self.peak) / (1 - self.peak))


class Plateau(Schedule):
    """The learning rate times `drop`, whenever the monitored metric has not improved in more than `patience` epochs."""

    kind = "plateau"
    main = "patience"

    patience: Count = 5
    """Number of epochs without improvement that are awaited."""
    drop: Drop = 0.1
    """Factor by which the learning rate is multiplied."""
    least: UnitInterval = 0.001
    """The smallest fraction of the learning rate."""
    improvement: Rate = 1e-4
    """By how much the monitored value must be better than the best one, relative to that."""


AnySchedule = Constant | Step | Milestones | Cosine | OneCycle | Plateau
SCHEDULES: dict[str, type[Choice]] = {cls.kind: cls for cls in (Constant, Step, Milestones, Cosine, OneCycle, Plateau)}
