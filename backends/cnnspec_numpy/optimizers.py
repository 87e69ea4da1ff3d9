"""Optimizers, in the arithmetic and the order of torch.optim, so that both backends go one way.

The state is a dictionary of arrays `<parameter>:<slot>`; weights and state are changed in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.training import Adam, Sgd


def zero_state(settings: Sgd | Adam, trainable: Mapping[str, Array]) -> Arrays:
    """The state before the first step."""
    slots = ("exp_avg", "exp_avg_sq") if isinstance(settings, Adam) else ("momentum",) if settings.momentum else ()
    return {f"{name}:{slot}": np.zeros_like(w) for name, w in trainable.items() for slot in slots}


def step(settings: Sgd | Adam, weights: Arrays, gradients: Arrays, state: Arrays, rate: float, t: int) -> None:
    """Moves the weights by their gradients; t counts the steps from 1."""
    for name, g in gradients.items():
        if isinstance(settings, Adam):
            _adam(settings, weights[name], g, state[f"{name}:exp_avg"], state[f"{name}:exp_avg_sq"], rate, t)
        else:
            _sgd(settings, weights[name], g, state.get(f"{name}:momentum"), rate)


def _sgd(settings: Sgd, w: Array, g: Array, velocity: Array | None, rate: float) -> None:
    if settings.weight_decay:
        g = g + settings.weight_decay * w
    if velocity is not None:
        velocity *= settings.momentum
        velocity += g
        g = g + settings.momentum * velocity if settings.nesterov else velocity
    w -= rate * g


def _adam(settings: Adam, w: Array, g: Array, mean: Array, square: Array, rate: float, t: int) -> None:
    if settings.kind == "adamw":
        w *= 1 - rate * settings.weight_decay
    elif settings.weight_decay:
        g = g + settings.weight_decay * w
    mean += (1 - settings.beta1) * (g - mean)
    square *= settings.beta2
    square += (1 - settings.beta2) * g * g
    denominator = np.sqrt(square)
    denominator /= math.sqrt(1 - settings.beta2**t)
    denominator += settings.eps
    w -= (rate / (1 - settings.beta1**t)) * (mean / denominator)
