"""Optimizers, in the arithmetic and the order of torch.optim where it has them, so that both backends step alike.

An update takes all parameters as one vector, and writes nothing but it, the optimizer's state and its workspace: an
optimizer step allocates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.training import Adam, AdamW, Lamb, Lion, Optimizer, RmsProp, Sgd

WORKSPACE = 2
"""How many vectors of the parameters' size an update works in."""


def step(
    settings: Optimizer, w: Array, g: Array, state: dict[str, Array], rate: float, t: int, work: list[Array]
) -> None:
    """Update the parameters w by their gradients g, which are overwritten; t counts the steps from 1."""
    UPDATES[settings.kind](settings, w, g, rate, t, work, *(state[slot] for slot in settings.slots))


def sgd(
    settings: Sgd, w: Array, g: Array, rate: float, t: int, work: list[Array], velocity: Array | None = None
) -> None:
    """Update w by stochastic gradient descent, with momentum where there is a velocity."""
    _add_decay(settings, w, g, work[0])
    if velocity is not None:
        velocity *= settings.momentum
        velocity += g
        if settings.nesterov:
            np.multiply(velocity, settings.momentum, out=work[0])
            g += work[0]
        else:
            g = velocity
    np.multiply(g, rate, out=work[0])
    w -= work[0]


def adam(
    settings: Adam, w: Array, g: Array, rate: float, t: int, work: list[Array], mean: Array, square: Array
) -> None:
    """Update w by Adam."""
    _add_decay(settings, w, g, work[0])
    _adam_step(settings, w, g, rate, t, work, mean, square)


def adamw(
    settings: AdamW, w: Array, g: Array, rate: float, t: int, work: list[Array], mean: Array, square: Array
) -> None:
    """Update w by Adam, with decoupled weight decay."""
    w *= 1 - rate * settings.weight_decay
    _adam_step(settings, w, g, rate, t, work, mean, square)


def rmsprop(
    settings: RmsProp,
    w: Array,
    g: Array,
    rate: float,
    t: int,
    work: list[Array],
    square: Array,
    velocity: Array | None = None,
) -> None:
    """Update w by RMSprop, with momentum where there is a velocity."""
    part, denominator = work
    _add_decay(settings, w, g, part)
    square *= settings.alpha
    np.multiply(g, 1 - settings.alpha, out=part)
    part *= g
    square += part
    np.sqrt(square, out=denominator)
    denominator += settings.eps
    np.divide(g, denominator, out=part)
    if velocity is not None:
        velocity *= settings.momentum
        velocity += part
        part = velocity
    np.multiply(part, rate, out=denominator)
    w -= denominator


def lion(settings: Lion, w: Array, g: Array, rate: float, t: int, work: list[Array], mean: Array) -> None:
    """Update w by Lion, with decoupled weight decay."""
    direction, part = work
    w *= 1 - rate * settings.weight_decay
    np.subtract(g, mean, out=part)
    np.multiply(part, 1 - settings.beta1, out=direction)
    direction += mean
    np.sign(direction, out=direction)
    direction *= rate
    w -= direction
    part *= 1 - settings.beta2
    mean += part


def lamb(
    settings: Lamb, w: Array, g: Array, rate: float, t: int, work: list[Array], mean: Array, square: Array
) -> None:
    """Update w, which is a single array, by LAMB."""
    direction, part = work
    _adam_direction(settings, g, t, work, mean, square)
    direction /= 1 - settings.beta1**t
    _add_decay(settings, w, direction, part)
    norm, length = (math.sqrt(float(np.dot(array, array))) for array in (w, direction))
    direction *= rate * (norm / length if norm and length else 1.0)
    w -= direction


def _add_decay(settings: Optimizer, w: Array, g: Array, work: Array) -> None:
    if settings.weight_decay:
        np.multiply(w, settings.weight_decay, out=work)
        g += work


def _adam_step(
    settings: Adam, w: Array, g: Array, rate: float, t: int, work: list[Array], mean: Array, square: Array
) -> None:
    direction, _ = work
    _adam_direction(settings, g, t, work, mean, square)
    direction *= rate / (1 - settings.beta1**t)
    w -= direction


def _adam_direction(settings: Adam, g: Array, t: int, work: list[Array], mean: Array, square: Array) -> None:
    """Update both moving averages, and write mean / (√(square / (1 − beta2ᵗ)) + eps) to the first workspace."""
    part, denominator = work
    np.subtract(g, mean, out=part)
    part *= 1 - settings.beta1
    mean += part
    square *= settings.beta2
    np.multiply(g, 1 - settings.beta2, out=part)
    part *= g
    square += part
    np.sqrt(square, out=denominator)
    denominator /= math.sqrt(1 - settings.beta2**t)
    denominator += settings.eps
    np.divide(mean, denominator, out=part)


UPDATES: dict[str, Callable[..., None]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "lion": lion,
    "lamb": lamb,
}
