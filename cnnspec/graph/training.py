"""What a spec says beyond its layers: how pixels become numbers, how it is trained, what it should come to."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cnnspec.graph.settings import Choice, Rate, Settings, Share
from cnnspec.layers.fields import Count, Fraction01, Natural, Positive

# How pixels become numbers


# Losses


class Loss(Choice):
    """What training minimises."""

    targets: ClassVar[Literal["classes", "numbers"]]
    """Whether a target is the index of a class, or an array of the output's shape."""


class CrossEntropy(Loss):
    """−log softmax(y)[target], the mean over the batch; y are logits."""

    kind = "cross_entropy"
    targets = "classes"
    main = "label_smoothing"

    label_smoothing: Fraction01 = 0.0
    """Share of the target that is spread over all classes (Szegedy et al. 2015, section 7)."""


class MeanSquaredError(Loss):
    """(y − target)², the mean over all elements."""

    kind = "mean_squared_error"
    targets = "numbers"


LOSSES: dict[str, type[Choice]] = {cls.kind: cls for cls in (CrossEntropy, MeanSquaredError)}


# Optimizers


class Optimizer(Choice):
    """How parameters follow their gradients."""

    main = "learning_rate"
    learning_rate: Positive = 0.01
    """Length of a step, before the schedule."""
    weight_decay: Rate = 0.0
    """How strongly parameters are drawn to zero."""

    @property
    def slots(self) -> int:
        """How many numbers are kept for each parameter."""
        return 0


class Sgd(Optimizer):
    """g += weight_decay·w; v = momentum·v + g; w −= rate·v (Nesterov: w −= rate·(g + momentum·v)), as in PyTorch."""

    kind = "sgd"

    momentum: Fraction01 = 0.0
    """Share of the last step that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum (Sutskever et al. 2013)."""

    @property
    def slots(self) -> int:
        """One velocity, with momentum."""
        return 1 if self.momentum else 0


class Adam(Optimizer):
    """Kingma & Ba 2014, with weight decay added to the gradient."""

    kind = "adam"

    learning_rate: Positive = 0.001
    """Length of a step, before the schedule."""
    beta1: Fraction01 = 0.9
    """Decay of the gradient's mean."""
    beta2: Fraction01 = 0.999
    """Decay of the gradient's square."""
    eps: Positive = 1e-8
    """Added to the denominator."""

    @property
    def slots(self) -> int:
        """Two moments."""
        return 2


class AdamW(Adam):
    """Loshchilov & Hutter 2017: Adam, with weight decay apart from the gradient."""

    kind = "adamw"

    weight_decay: Rate = 0.01
    """How strongly parameters are drawn to zero."""


OPTIMIZERS: dict[str, type[Choice]] = {cls.kind: cls for cls in (Sgd, Adam, AdamW)}


# Schedules


class Schedule(Choice):
    """The learning rate over time, as a factor of the optimizer's."""

    warmup: Rate = 0.0
    """Epochs over which the rate first rises from zero, linearly."""

    def factor(self, epoch: float, epochs: int) -> float:
        """The factor at a time in epochs (fractions count)."""
        if epoch < self.warmup:
            return epoch / self.warmup
        return self.after_warmup(epoch, epochs)

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """The factor once the warm-up is over."""
        return 1.0


class Constant(Schedule):
    """The same rate throughout."""

    kind = "constant"


class Step(Schedule):
    """The rate times `factor`, every so many epochs."""

    kind = "step"
    main = "every"

    every: Count
    """Epochs between two drops."""
    drop: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the rate is multiplied by."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """drop^⌊epoch / every⌋."""
        return float(self.drop ** (epoch // self.every))


class Cosine(Schedule):
    """Half a cosine from the full rate down to a share of it (Loshchilov & Hutter 2016)."""

    kind = "cosine"
    main = "final"

    final: Share = 0.0
    """Share of the rate that is left at the end."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """final + (1 − final)·(1 + cos(π·progress)) / 2."""
        progress = min(1.0, (epoch - self.warmup) / max(1e-9, epochs - self.warmup))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


SCHEDULES: dict[str, type[Choice]] = {cls.kind: cls for cls in (Constant, Step, Cosine)}


# Training


class Augment(Settings):
    """Random changes to training images, which do not change what they show."""

    shift: Natural = 0
    """Moved by up to so many pixels each way; what comes in is zero (pad and crop at random)."""
    flip: Literal["none", "horizontal"] = "none"
    """Mirrored left to right, half of the time."""


class Train(Settings):
    """The training defaults of a spec; flags override them."""

    data: str | None = None
    """A dataset's name, a directory or an .npz file; `examples` for the spec's own."""
    loss: CrossEntropy | MeanSquaredError = Field(default_factory=CrossEntropy)
    """What is made small."""
    optimizer: Sgd | Adam | AdamW = Field(default_factory=Sgd)
    """How."""
    schedule: Constant | Step | Cosine = Field(default_factory=Constant)
    """How the learning rate changes."""
    batch: Count = 64
    """Samples to a step."""
    epochs: Count = 10
    """Passes over the training data."""
    seed: Natural = 0
    """Of the weights, the order and every other random choice."""
    validation: Fraction01 = 0.0
    """Share of the training data that is held out to choose the best epoch by; 0 for none."""
    augment: Augment = Field(default_factory=Augment)
    """Random changes to training images."""

    choices: ClassVar[dict[str, dict[str, type[Choice]]]] = {
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }


# Expectations and examples
