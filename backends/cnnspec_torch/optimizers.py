"""The optimizers of a spec as those of torch.optim, with their state under the names that every backend uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cnnspec.graph.training import Adam, AdamW, Sgd

Settings = Sgd | Adam | AdamW

# The names in a checkpoint -> the keys in the state of torch.optim.
SGD = {"momentum": "momentum_buffer"}
ADAM = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


class Optimizer:
    """A torch.optim optimizer over named parameters, whose state exists before the first step."""

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
        """Set the learning rate of the next step."""
        for group in self.torch.param_groups:
            group["lr"] = rate

    def set_steps(self, steps: int) -> None:
        """Set the number of steps made so far, which Adam's bias correction depends on."""
        for state in self.torch.state.values():
            if "step" in state:
                state["step"].fill_(steps)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the optimizer's own tensors, each named `<parameter>:<slot>`."""
        for name, p in self.parameters.items():
            for slot, key in self._slots.items():
                yield f"{name}:{slot}", self.torch.state[p][key]


def _torch(settings: Settings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if isinstance(settings, Sgd):
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay, nesterov=settings.nesterov)
    cls = torch.optim.AdamW if isinstance(settings, AdamW) else torch.optim.Adam
    return cls(parameters, rate, (settings.beta1, settings.beta2), settings.eps, decay)
