"""The optimizers of a spec as torch's own, and what they keep as arrays that any backend can go on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cnnspec.graph.training import Adam, AdamW, Sgd

Settings = Sgd | Adam | AdamW

# The names that a checkpoint has for what torch.optim keeps for each parameter.
SGD = {"momentum": "momentum_buffer"}
ADAM = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


class Optimizer:
    """A torch.optim optimizer over named parameters, whose state is there from the start."""

    def __init__(self, settings: Settings, parameters: Mapping[str, nn.Parameter]) -> None:
        self.settings = settings
        self.parameters = parameters
        self.torch = _torch(settings, list(parameters.values()))
        for p in parameters.values():
            self.torch.state[p] = {slot: torch.zeros_like(p) for slot in self._slots.values()}
            if isinstance(settings, Adam):
                self.torch.state[p]["step"] = torch.tensor(0.0)

    @property
    def _slots(self) -> dict[str, str]:
        if isinstance(self.settings, Sgd):
            return SGD if self.settings.momentum else {}
        return ADAM

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for group in self.torch.param_groups:
            group["lr"] = rate

    def set_steps(self, steps: int) -> None:
        """How many steps were made: Adam's correction of its bias depends on it."""
        for kept in self.torch.state.values():
            if "step" in kept:
                kept["step"].fill_(steps)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """What is kept, as `<parameter>:<slot>`; the tensors are the optimizer's own."""
        for name, p in self.parameters.items():
            for slot, key in self._slots.items():
                yield f"{name}:{slot}", self.torch.state[p][key]


def _torch(settings: Settings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if isinstance(settings, Sgd):
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay, nesterov=settings.nesterov)
    cls = torch.optim.AdamW if isinstance(settings, AdamW) else torch.optim.Adam
    return cls(parameters, rate, (settings.beta1, settings.beta2), settings.eps, decay)
