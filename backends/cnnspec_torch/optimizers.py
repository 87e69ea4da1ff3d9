"""The optimizers of a spec: those of torch.optim, and some more; their state has the names that every backend uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.graph.training import Adam, AdamW, Lamb, Lion, RmsProp, Sgd
from cnnspec.graph.training import Optimizer as Settings

Groups = list[dict[str, Any]]
"""Parameters that are updated alike, with their `weight_decay`."""

TORCH_NAMES = {"momentum": "momentum_buffer"}
"""Slots of the state that torch.optim gives another name than a checkpoint."""


def sgd(settings: Sgd, groups: Groups, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.SGD with the settings."""
    return torch.optim.SGD(
        groups,
        settings.learning_rate,
        settings.momentum,
        nesterov=settings.nesterov,
        fused=fused,
    )


def adam(settings: Adam, groups: Groups, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.Adam with the settings."""
    betas = settings.beta1, settings.beta2
    return torch.optim.Adam(groups, settings.learning_rate, betas, settings.eps, fused=fused)


def adamw(settings: AdamW, groups: Groups, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.AdamW with the settings."""
    betas = settings.beta1, settings.beta2
    return torch.optim.AdamW(groups, settings.learning_rate, betas, settings.eps, fused=fused)


def rmsprop(settings: RmsProp, groups: Groups, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.RMSprop with the settings; it has no fused form."""
    rate, alpha, eps = settings.learning_rate, settings.alpha, settings.eps
    return torch.optim.RMSprop(groups, rate, alpha, eps, momentum=settings.momentum)


class _OwnOptimizer(torch.optim.Optimizer):
    """An optimizer that torch.optim does not have."""

    def __init__(self, settings: Any, groups: Groups, fused: bool | None) -> None:
        super().__init__(groups, {"lr": settings.learning_rate})
        self.settings = settings

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Update every parameter that has a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        state = self.state[p]
                        state["step"] += 1
                        self.update(p, p.grad, state, group["lr"], group["weight_decay"])

    def update(self, w: Tensor, g: Tensor, state: dict[str, Tensor], rate: float, decay: float) -> None:
        """Update one array by its gradient."""
        raise NotImplementedError


class LionOptimizer(_OwnOptimizer):
    """Lion, with decoupled weight decay."""

    settings: Lion

    def update(self, w: Tensor, g: Tensor, state: dict[str, Tensor], rate: float, decay: float) -> None:
        """Update one array by its gradient."""
        mean = state["exp_avg"]
        w.mul_(1 - rate * decay)
        w.sub_(torch.lerp(mean, g, 1 - self.settings.beta1).sign_(), alpha=rate)
        mean.lerp_(g, 1 - self.settings.beta2)


class LambOptimizer(_OwnOptimizer):
    """LAMB."""

    settings: Lamb

    def update(self, w: Tensor, g: Tensor, state: dict[str, Tensor], rate: float, decay: float) -> None:
        """Update one array by its gradient."""
        mean, square, t = state["exp_avg"], state["exp_avg_sq"], float(state["step"])
        mean.lerp_(g, 1 - self.settings.beta1)
        square.mul_(self.settings.beta2).addcmul_(g, g, value=1 - self.settings.beta2)
        denominator = square.sqrt().div_(math.sqrt(1 - self.settings.beta2**t)).add_(self.settings.eps)
        direction = mean.div(denominator).div_(1 - self.settings.beta1**t).add_(w, alpha=decay)
        norm, length = w.norm(), direction.norm()
        ratio = torch.where((norm > 0) & (length > 0), norm / length, torch.ones_like(norm))
        w.sub_(direction.mul_(ratio), alpha=rate)


OPTIMIZERS: dict[str, Callable[[Any, Groups, bool | None], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "lion": LionOptimizer,
    "lamb": LambOptimizer,
}


class Optimizer:
    """An optimizer of torch over named parameters, whose state exists before the first step.

    `factors` holds the factor of the learning rate and the weight decay of each parameter.

    With `fused` it passes over the memory of each parameter once; None leaves the choice to torch.
    """

    def __init__(
        self,
        settings: Settings,
        parameters: Mapping[str, nn.Parameter],
        factors: Mapping[str, tuple[float, float]],
        fused: bool | None,
    ) -> None:
        self.parameters = parameters
        self.slots = {slot: TORCH_NAMES.get(slot, slot) for slot in settings.slots}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, p in parameters.items():
            groups.setdefault(factors[name], []).append(p)
        self.factors = [factor for factor, _ in groups]
        alike: Groups = [{"params": params, "weight_decay": decay} for (_, decay), params in groups.items()]
        self.torch = OPTIMIZERS[settings.kind](settings, alike, fused)
        for p in parameters.values():
            self.torch.state[p] = {key: torch.zeros_like(p) for key in self.slots.values()}
            # A fused step on CUDA reads the number of steps there.
            self.torch.state[p]["step"] = torch.zeros((), device=p.device if fused else None)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step, times the factor of each group."""
        for group, factor in zip(self.torch.param_groups, self.factors, strict=True):
            group["lr"] = rate * factor

    def set_steps(self, steps: int) -> None:
        """Set the number of steps made so far, which the bias correction of Adam depends on."""
        for state in self.torch.state.values():
            if "step" in state:
                state["step"].fill_(steps)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the optimizer's own tensors, each named `<parameter>:<slot>`."""
        for name, p in self.parameters.items():
            for slot, key in self.slots.items():
                yield f"{name}:{slot}", self.torch.state[p][key]
