"""Optimizers, in the arithmetic and the order of torch.optim, so that both backends compute the same steps.

The state is a dictionary of arrays `<parameter>:<slot>`; weights and state are changed in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.training import Adam, AdamW, Optimizer, Sgd


def zero_state(settings: Optimizer, trainable: Mapping[str, Array]) -> Arrays:
    """Return the state before the first step."""
    return {f"{name}:{slot}": np.zeros_like(w) for name, w in trainable.items() for slot in settings.slots}


def step(settings: Optimizer, weights: Arrays, gradients: Arrays, state: Arrays, rate: float, t: int) -> None:
    """Update the weights by their gradients; t counts the steps from 1."""
    update = UPDATES[settings.kind]
    for name, g in gradients.items():
        update(settings, weights[name], g, rate, t, *(state[f"{name}:{slot}"] for slot in settings.slots))


def sgd(settings: Sgd, w: Array, g: Array, rate: float, t: int, velocity: Array | None = None) -> None:
    """Update w by stochastic gradient descent, with momentum where there is a velocity."""
    g = _with_decay(settings, w, g)
    if velocity is not None:
        velocity *= settings.momentum
        velocity += g
        g = g + settings.momentum * velocity if settings.nesterov else velocity
    w -= rate * g


def adam(settings: Adam, w: Array, g: Array, rate: float, t: int, mean: Array, square: Array) -> None:
    """Update w by Adam."""
    _adam_step(settings, w, _with_decay(settings, w, g), rate, t, mean, square)


def adamw(settings: AdamW, w: Array, g: Array, rate: float, t: int, mean: Array, square: Array) -> None:
    """Update w by Adam, with decoupled weight decay."""
    w *= 1 - rate * settings.weight_decay
    _adam_step(settings, w, g, rate, t, mean, square)


def _with_decay(settings: Optimizer, w: Array, g: Array) -> Array:
    return g + settings.weight_decay * w if settings.weight_decay else g


def _adam_step(settings: Adam, w: Array, g: Array, rate: float, t: int, mean: Array, square: Array) -> None:
    mean += (1 - settings.beta1) * (g - mean)
    square *= settings.beta2
    square += (1 - settings.beta2) * g * g
    denominator = np.sqrt(square)
    denominator /= math.sqrt(1 - settings.beta2**t)
    denominator += settings.eps
    w -= (rate / (1 - settings.beta1**t)) * (mean / denominator)


UPDATES: dict[str, Callable[..., None]] = {"sgd": sgd, "adam": adam, "adamw": adamw}
