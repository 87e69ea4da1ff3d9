"""The `train:` section of a spec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from cnnspec.graph.settings import Choice, Rate, Settings
from cnnspec.graph.training.augment import Transforms
from cnnspec.graph.training.columns import Columns
from cnnspec.graph.training.losses import LOSSES, AnyLoss, CrossEntropy, Loss
from cnnspec.graph.training.optimizers import OPTIMIZERS, AnyOptimizer, Sgd
from cnnspec.graph.training.schedules import SCHEDULES, AnySchedule, Constant
from cnnspec.graph.training.types import Names
from cnnspec.layers.fields import Count, Fraction01, Natural, Positive


class Clip(Settings):
    """Limits of the gradient of a step, before the optimizer uses it."""

    norm: Positive | None = None
    """Largest Euclidean norm of all gradients as one vector, which is scaled down to it (Pascanu et al. 2013)."""
    value: Positive | None = None
    """Largest magnitude of each number of the gradients."""


class EarlyStopping(Settings):
    """The end of training when the monitored value has not improved for a while."""

    patience: Count = 5
    """Number of epochs without improvement after which training ends."""
    improvement: Rate = 0.0
    """By how much the monitored value must be better than the best one."""


class Train(Settings):
    """Training settings of a spec; command-line options override them."""

    data: str | None = None
    """A dataset's name, a directory or a file; `examples` for the spec's own."""
    target: Literal["input"] | None = None
    """`input` for a network that reconstructs its input: the target of a sample is the sample itself."""
    columns: Columns = Field(default_factory=Columns)
    """The columns of a table of samples, where they are not called as usual."""
    loss: AnyLoss = Field(default_factory=CrossEntropy)
    """The function that is minimised, of every output."""
    losses: dict[str, AnyLoss] = Field(default_factory=dict)
    """The losses of outputs by name, in place of `loss`; outputs that are not named are not trained."""
    targets: dict[str, Names] = Field(default_factory=dict)
    """The array or the columns of the data that hold the targets of an output, by the output's name; `input` for the
    sample itself."""
    start: str | None = None
    """File of the weights that training starts from, taken over by name."""
    replace: Names = ()
    """Layers that begin anew in place of their weights in `start`: names of layers or blocks, or patterns with *."""
    freeze: Names = ()
    """Layers that stay as they are: names of layers or blocks, or patterns with *."""
    rates: dict[str, Rate] = Field(default_factory=dict)
    """Factors of the learning rate of some layers, by name, block or pattern; the last one that matches counts."""
    optimizer: AnyOptimizer = Field(default_factory=Sgd)
    """The rule by which the parameters are updated."""
    schedule: AnySchedule = Field(default_factory=Constant)
    """The learning rate over time."""
    clip: Clip = Field(default_factory=Clip)
    """Limits of the gradient; a number is the largest norm."""
    batch: Count = 64
    """Samples in a batch."""
    accumulate: Count = 1
    """Number of batches whose gradients make one step, as if they were a single one."""
    epochs: Count = 10
    """Passes over the training data."""
    ema: Fraction01 = 0.0
    """Decay rate of an exponential moving average of the weights, which is what is evaluated and saved; 0 for none."""
    monitor: str | None = None
    """The metric that chooses the best epoch: `validation_loss`, `validation_accuracy`, …"""
    early_stopping: EarlyStopping | None = None
    """Ends training when `monitor` has not improved for a while; a number is the patience."""
    seed: Natural = 0
    """Seed of the weights, the order of the samples and every other random choice."""
    validation: Fraction01 = 0.0
    """Fraction of the training data held out to choose the best epoch; 0 for none."""
    augment: Transforms = ()
    """Random changes of training samples, in the order in which they are applied."""
    mixup: Rate = 0.0
    """Parameter α of the Beta distribution of mixup (Zhang et al. 2017); 0 for none."""
    cutmix: Rate = 0.0
    """Parameter α of the Beta distribution of cutmix (Yun et al. 2019); 0 for none. With mixup, each is as likely."""

    def by_output(self, names: Iterable[str]) -> dict[str, Loss]:
        """Return the loss of each output that is trained; of all, where no `losses` are given by name."""
        return {name: self.losses.get(name, self.loss) for name in names if name in self.losses or not self.losses}

    @property
    def chooses_best(self) -> bool:
        """Whether the weights of the best epoch are the result, not those of the last one."""
        return bool(self.validation or self.monitor)

    choices: ClassVar[dict[str, dict[str, type[Choice]]]] = {
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }
    parts: ClassVar[dict[str, tuple[type[Settings], str | None]]] = {
        "clip": (Clip, "norm"),
        "columns": (Columns, None),
        "early_stopping": (EarlyStopping, "patience"),
    }
    """The settings that are mappings, each with the field that a number stands for."""
