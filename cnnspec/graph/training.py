"""Training settings: losses, optimizers, learning rate schedules, augmentation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cnnspec.graph.settings import Choice, Rate, Settings, UnitInterval
from cnnspec.layers import Shape
from cnnspec.layers.fields import Count, Fraction01, Natural, Positive
from cnnspec.wording import format_shape

# Losses


class Loss(Choice):
    """The function that training minimises."""

    targets: ClassVar[Literal["classes", "numbers"]]
    """Whether a target is the index of a class, or an array of the output's shape."""
    takes_logits: ClassVar[bool] = False
    """Whether it applies a softmax to the output of the network itself."""

    weight: Positive = 1.0
    """Factor of it in the sum of the losses of all outputs."""

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return why an output of this shape (called `name`, of several) cannot have this loss, "" where it can."""
        return ""


class CrossEntropy(Loss):
    """−log softmax(y)[target], the mean over the batch; y are logits."""

    kind = "cross_entropy"
    targets = "classes"
    takes_logits = True
    main = "label_smoothing"

    label_smoothing: Fraction01 = 0.0
    """Fraction of the target that is spread over all classes (Szegedy et al. 2015, section 7)."""

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return "" for a vector of two numbers or more, which are the scores of the classes."""
        if len(shape) == 1 and shape[0] > 1:
            return ""
        output = f"the output `{name}`" if name else "the output"
        found = "one number" if shape == (1,) else format_shape(shape)
        return f"cross-entropy needs a vector of scores, one for each class; {output} is {found}"


class MeanSquaredError(Loss):
    """(y − target)², the mean over all elements."""

    kind = "mean_squared_error"
    targets = "numbers"


MISFIT_REMEDY = "end it with a `dense` that has a unit for each class, or use `mean_squared_error`"
"""What to do about an output that cannot have its loss."""

LOSSES: dict[str, type[Choice]] = {cls.kind: cls for cls in (CrossEntropy, MeanSquaredError)}


# Optimizers


class Optimizer(Choice):
    """The rule by which the parameters are updated from their gradients."""

    main = "learning_rate"
    learning_rate: Positive = 0.01
    """Length of a step, before the schedule."""
    weight_decay: Rate = 0.0
    """Strength of the L2 penalty that draws parameters to zero."""

    counts_steps: ClassVar[bool] = False
    """Whether an update depends on the number of steps before it."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays that are kept for each parameter, as in a checkpoint."""
        return ()


class Sgd(Optimizer):
    """g += weight_decay·w; v = momentum·v + g; w −= rate·v (Nesterov: w −= rate·(g + momentum·v)), as in PyTorch."""

    kind = "sgd"

    momentum: Fraction01 = 0.0
    """Fraction of the last velocity that is kept."""
    nesterov: bool = False
    """Use Nesterov's momentum, which looks ahead (Sutskever et al. 2013)."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, with momentum."""
        return ("momentum",) if self.momentum else ()


class Adam(Optimizer):
    """Kingma & Ba 2014, with weight decay added to the gradient."""

    kind = "adam"
    counts_steps = True

    learning_rate: Positive = 0.001
    """Length of a step, before the schedule."""
    beta1: Fraction01 = 0.9
    """Decay rate of the moving average of the gradient."""
    beta2: Fraction01 = 0.999
    """Decay rate of the moving average of the squared gradient."""
    eps: Positive = 1e-8
    """Added to the denominator, for numerical stability."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The moving averages of the gradient and of its square."""
        return "exp_avg", "exp_avg_sq"


class AdamW(Adam):
    """Loshchilov & Hutter 2017: Adam with decoupled weight decay."""

    kind = "adamw"

    weight_decay: Rate = 0.01
    """Fraction of each parameter that a step of learning rate 1 would take away."""


OPTIMIZERS: dict[str, type[Choice]] = {cls.kind: cls for cls in (Sgd, Adam, AdamW)}


# Schedules


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


class Constant(Schedule):
    """A constant learning rate."""

    kind = "constant"


class Step(Schedule):
    """The learning rate times `drop`, every `every` epochs."""

    kind = "step"
    main = "every"

    every: Count
    """Number of epochs between two drops."""
    drop: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor by which the learning rate is multiplied."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return drop^⌊epoch / every⌋."""
        return float(self.drop ** (epoch // self.every))


class Cosine(Schedule):
    """Cosine annealing from the full learning rate to a fraction of it (Loshchilov & Hutter 2016)."""

    kind = "cosine"
    main = "final"

    final: UnitInterval = 0.0
    """Fraction of the learning rate at the end."""

    def after_warmup(self, epoch: float, epochs: int) -> float:
        """Return final + (1 − final)·(1 + cos(π·progress)) / 2."""
        progress = min(1.0, (epoch - self.warmup) / max(1e-9, epochs - self.warmup))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


SCHEDULES: dict[str, type[Choice]] = {cls.kind: cls for cls in (Constant, Step, Cosine)}


# Training


class Augment(Settings):
    """Random augmentation of training images."""

    shift: Natural = 0
    """Largest shift in pixels along each axis, as by padding with zeros and cropping at random."""
    flip: Literal["none", "horizontal"] = "none"
    """Mirror left to right with probability one half."""


class Train(Settings):
    """Training settings of a spec; command-line options override them."""

    data: str | None = None
    """A dataset's name, a directory or an .npz file; `examples` for the spec's own."""
    loss: CrossEntropy | MeanSquaredError = Field(default_factory=CrossEntropy)
    """The function that is minimised, of every output."""
    losses: dict[str, CrossEntropy | MeanSquaredError] = Field(default_factory=dict)
    """The losses of outputs by name, in place of `loss`; outputs that are not named are not trained."""
    targets: dict[str, str] = Field(default_factory=dict)
    """The array of the data that holds the targets of an output, by the output's name."""
    optimizer: Sgd | Adam | AdamW = Field(default_factory=Sgd)
    """The rule by which the parameters are updated."""
    schedule: Constant | Step | Cosine = Field(default_factory=Constant)
    """The learning rate over time."""
    batch: Count = 64
    """Samples in a step."""
    epochs: Count = 10
    """Passes over the training data."""
    seed: Natural = 0
    """Seed of the weights, the order of the samples and every other random choice."""
    validation: Fraction01 = 0.0
    """Fraction of the training data held out to choose the best epoch; 0 for none."""
    augment: Augment = Field(default_factory=Augment)
    """Random augmentation of training images."""

    def by_output(self, names: Iterable[str]) -> dict[str, Loss]:
        """Return the loss of each output that is trained; of all, where no `losses` are given by name."""
        return {name: self.losses.get(name, self.loss) for name in names if name in self.losses or not self.losses}

    choices: ClassVar[dict[str, dict[str, type[Choice]]]] = {
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }
