"""What surrounds the optimizer in a step: clipping of gradients, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from cnnspec.graph.training import Clip


def clip(settings: Clip, parameters: Iterable[nn.Parameter]) -> None:
    """Limit gradients: each number first, then the norm of all of them, as torch.nn.utils does."""
    parameters = list(parameters)
    if settings.value is not None:
        nn.utils.clip_grad_value_(parameters, settings.value)
    if settings.norm is not None:
        nn.utils.clip_grad_norm_(parameters, settings.norm)


class Average:
    """A moving average of all arrays of a module, running statistics included."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        self._arrays = {name: tensor.detach() for name, tensor in arrays.items()}
        self._averages = {name: tensor.clone() for name, tensor in self._arrays.items()}

    @torch.no_grad()
    def update(self, rate: float) -> None:
        """Move the averages towards the present arrays by a fraction of the difference."""
        torch._foreach_lerp_(list(self._averages.values()), list(self._arrays.values()), rate)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the arrays and their averages."""
        for name, average in self._averages.items():
            kept = average.clone()
            average.copy_(self._arrays[name])
            self._arrays[name].copy_(kept)

    def named(self) -> dict[str, Tensor]:
        """Return the averages by the names of a checkpoint, `<array>:average`."""
        return {f"{name}:average": average for name, average in self._averages.items()}
