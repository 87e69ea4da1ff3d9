"""The update of a step: clipped gradients, the optimizer by groups of arrays, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.training import Clip, Optimizer, Train
from cnnspec.layers import Shape
from cnnspec_numpy import optimizers

AVERAGE = "average"
"""The name of the moving average beside the optimizer's own arrays, as in a checkpoint."""


def views(flat: Array, shapes: Mapping[str, Shape]) -> Arrays:
    """Return the arrays that lie one after the other in a vector, by name."""
    found, offset = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        found[name] = flat[offset : offset + size].reshape(shape)
        offset += size
    return found


class Update:
    """What an optimizer keeps, as vectors over all trainable arrays: an update allocates nothing."""

    def __init__(
        self,
        train: Train,
        groups: Mapping[str, tuple[float, float]],
        flat: Array,
        shapes: Mapping[str, Shape],
        state: Arrays,
    ) -> None:
        self._train, self._flat, self._shapes = train, flat, shapes
        self._slots = {slot: np.zeros_like(flat) for slot in train.optimizer.slots}
        self._work = [np.empty_like(flat) for _ in range(optimizers.WORKSPACE)]
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        self._segments = list(_segments(train.optimizer, groups, sizes))
        self._state = state if train.ema else {}
        self._average = flat.copy() if train.ema else None
        self._state_average = {name: array.copy() for name, array in self._state.items()}

    def step(self, gradients: Array, rate: float, t: int, average_rate: float) -> None:
        """Update the weights by their gradients, which are overwritten; t counts the steps from 1."""
        clip(self._train.clip, gradients)
        for at, settings, factor in self._segments:
            slots = {slot: vector[at] for slot, vector in self._slots.items()}
            work = [vector[at] for vector in self._work]
            optimizers.step(settings, self._flat[at], gradients[at], slots, rate * factor, t, work)
        if self._average is not None:
            _move(self._average, self._flat, average_rate, self._work[0])
        for name, average in self._state_average.items():
            _move(average, self._state[name], average_rate)

    def swap_average(self) -> None:
        """Exchange the weights and their moving average."""
        if self._average is not None:
            _swap(self._flat, self._average)
        for name, average in self._state_average.items():
            _swap(self._state[name], average)

    def arrays(self) -> Arrays:
        """Return what is kept, by the names of a checkpoint: `<parameter>:<slot>`."""
        vectors = self._slots if self._average is None else self._slots | {AVERAGE: self._average}
        kept = {slot: views(vector, self._shapes) for slot, vector in vectors.items()}
        found = {f"{name}:{slot}": array for slot, arrays in kept.items() for name, array in arrays.items()}
        return found | {f"{name}:{AVERAGE}": average for name, average in self._state_average.items()}


def clip(settings: Clip, gradients: Array) -> None:
    """Limit gradients: each number first, then the norm, to norm · min(1, most / (norm + 1e-6)) as PyTorch does."""
    if settings.value is not None:
        np.clip(gradients, -settings.value, settings.value, out=gradients)
    if settings.norm is not None:
        norm = math.sqrt(float(np.dot(gradients, gradients)))
        gradients *= gradients.dtype.type(min(1.0, settings.norm / (norm + 1e-6)))


def _segments(
    optimizer: Optimizer, groups: Mapping[str, tuple[float, float]], sizes: Mapping[str, int]
) -> Iterator[tuple[slice, Optimizer, float]]:
    """Yield runs of arrays that are updated alike, with the optimizer and the factor of the learning rate."""
    start = 0
    keys = ((group, i if optimizer.by_array else 0) for i, group in enumerate(groups[name] for name in sizes))
    for ((factor, decay), _), run in groupby(zip(keys, sizes.values(), strict=True), key=lambda item: item[0]):
        end = start + sum(size for _, size in run)
        yield slice(start, end), optimizer.model_copy(update={"weight_decay": decay}), factor
        start = end


def _move(average: Array, array: Array, rate: float, work: Array | None = None) -> None:
    difference = np.subtract(array, average, out=work)
    difference *= rate
    average += difference


def _swap(one: Array, other: Array) -> None:
    kept = one.copy()
    one[...] = other
    other[...] = kept
