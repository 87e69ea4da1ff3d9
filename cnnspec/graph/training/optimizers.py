"""Optimizers: the rules by which parameters are updated from their gradients.

w is an array of parameters, g its gradient, t the number of the step from 1, and rate the learning rate of the step:
`learning_rate` times the factor of the schedule, and that of the layer (`rates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from cnnspec.graph.settings import Choice, Rate
from cnnspec.layers import Shape
from cnnspec.layers.fields import Fraction01, Positive


class Optimizer(Choice):
    """The rule by which the parameters are updated from their gradients."""

    main = "learning_rate"
    learning_rate: Positive = 0.01
    """Length of a step, before the schedule."""
    weight_decay: Rate = 0.0
    """Strength of the L2 penalty that draws parameters to zero."""
    decays: Literal["all", "weights"] = "all"
    """What weight_decay applies to: all arrays, or only those of two axes or more, which norms and biases are not."""

    by_array: ClassVar[bool] = False
    """Whether an update of a number depends on the other numbers of its array."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays that are kept for each parameter, as in a checkpoint."""
        return ()

    def workspace(self, sizes: Sequence[int]) -> int:
        """Return the bytes that an update works in, as PyTorch makes it on a GPU, for gradients of so many bytes each.

        A fused update computes in registers.
        """
        return 0

    def decay_of(self, shape: Shape) -> float:
        """Return the weight decay of an array of that shape."""
        return self.weight_decay if self.decays == "all" or len(shape) > 1 else 0.0


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


class RmsProp(Optimizer):
    """g += weight_decay·w; s = alpha·s + (1 − alpha)·g²; u = g / (√s + eps); v = momentum·v + u; w −= rate·v.

    Tieleman & Hinton 2012, as in PyTorch.
    """

    kind = "rmsprop"

    alpha: Fraction01 = 0.99
    """Decay rate of the moving average of the squared gradient."""
    eps: Positive = 1e-8
    """Added to the denominator, for numerical stability."""
    momentum: Fraction01 = 0.0
    """Fraction of the last velocity that is kept."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The moving average of the squared gradient, and the velocity with momentum."""
        return ("square_avg", "momentum") if self.momentum else ("square_avg",)

    def workspace(self, sizes: Sequence[int]) -> int:
        """Return the bytes of the roots of the squares, beside the gradients with the decay: it has no fused form."""
        return (2 if self.weight_decay else 1) * sum(sizes)


class Lion(Optimizer):
    """w −= rate·(sign(beta1·m + (1 − beta1)·g) + weight_decay·w); m = beta2·m + (1 − beta2)·g.

    Chen et al. 2023, algorithm 2. Its learning rate is 3 to 10 times smaller than that of AdamW.
    """

    kind = "lion"

    learning_rate: Positive = 0.0001
    """Length of a step, before the schedule."""
    beta1: Fraction01 = 0.9
    """Fraction of the moving average in the direction of a step."""
    beta2: Fraction01 = 0.99
    """Decay rate of the moving average of the gradient."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The moving average of the gradient."""
        return ("exp_avg",)

    def workspace(self, sizes: Sequence[int]) -> int:
        """Return the bytes of the direction of the largest array: one array is updated after the other."""
        return max(sizes, default=0)


class Lamb(Adam):
    """w −= rate·(‖w‖ / ‖u‖)·u, with u = Adam's direction + weight_decay·w of each array; You et al. 2019, algorithm 2.

    The factor is 1 where one of the norms is 0.
    """

    kind = "lamb"
    by_array = True

    eps: Positive = 1e-6
    """Added to the denominator, for numerical stability."""

    def workspace(self, sizes: Sequence[int]) -> int:
        """Return the bytes of denominator and direction of the largest array: one is updated after the other."""
        return 2 * max(sizes, default=0)


AnyOptimizer = Sgd | Adam | AdamW | RmsProp | Lion | Lamb
OPTIMIZERS: dict[str, type[Choice]] = {cls.kind: cls for cls in (Sgd, Adam, AdamW, RmsProp, Lion, Lamb)}
