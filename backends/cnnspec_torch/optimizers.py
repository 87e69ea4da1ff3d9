"""The optimizers of a spec as those of torch.optim, with their state under the names that every backend uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.graph.training import Adam, AdamW, Sgd
from cnnspec.graph.training import Optimizer as Settings

Parameters = list[nn.Parameter]

TORCH_NAMES = {"momentum": "momentum_buffer"}
"""Slots of the state that torch.optim gives another name than a checkpoint."""


def sgd(settings: Sgd, parameters: Parameters, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.SGD with the settings."""
    return torch.optim.SGD(
        parameters,
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
        fused=fused,
    )


def adam(settings: Adam, parameters: Parameters, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.Adam with the settings."""
    betas = settings.beta1, settings.beta2
    rate, eps, decay = settings.learning_rate, settings.eps, settings.weight_decay
    return torch.optim.Adam(parameters, rate, betas, eps, decay, fused=fused)


def adamw(settings: AdamW, parameters: Parameters, fused: bool | None) -> torch.optim.Optimizer:
    """Return torch.optim.AdamW with the settings."""
    betas = settings.beta1, settings.beta2
    rate, eps, decay = settings.learning_rate, settings.eps, settings.weight_decay
    return torch.optim.AdamW(parameters, rate, betas, eps, decay, fused=fused)


OPTIMIZERS: dict[str, Callable[[Any, Parameters, bool | None], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
}


class Optimizer:
    """A torch.optim optimizer over named parameters, whose state exists before the first step.

    With `fused` it passes over the memory of each parameter once; None leaves the choice to torch.
    """

    def __init__(self, settings: Settings, parameters: Mapping[str, nn.Parameter], fused: bool | None) -> None:
        self.parameters = parameters
        self.slots = {slot: TORCH_NAMES.get(slot, slot) for slot in settings.slots}
        self.torch = OPTIMIZERS[settings.kind](settings, list(parameters.values()), fused)
        for p in parameters.values():
            self.torch.state[p] = {key: torch.zeros_like(p) for key in self.slots.values()}
            if settings.counts_steps:
                self.torch.state[p]["step"] = torch.tensor(0.0)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.torch.param_groups:
            group["lr"] = rate

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
