"""Batches of a split, the order of an epoch, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data.augment import Mix, Mixing
from cnnspec.data.loader import Loader
from cnnspec.data.split import Loaded, Split


def epoch_order(n: int, seed: int, epoch: int) -> Array:
    """Return the order of the samples in an epoch, the same for every backend: a permutation of the indices [n]."""
    return rng.stream(seed, "order", epoch).permutation(n)


def batches(
    split: Split, order: Array, size: int, loader: Loader | None = None, *, pixels: bool = False
) -> Iterator[tuple[Samples | dict[str, Samples], Array | Arrays, Array]]:
    """Yield batches (x, target, indices) of `size` samples in the given order; the last may be smaller.

    With `pixels`, they are loaded as `Pixels` where the split has pixels.
    """
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    for loaded, indices in zip((loader or Loader()).batches(split, parts, pixels=pixels), parts, strict=True):
        yield (*loaded, indices)


class Step(NamedTuple):
    """What a process loads for a step of training."""

    samples: int
    """The number of samples of the step, in all processes."""
    indices: Array
    """The samples that this process loads."""
    mix: Mix | None = None
    rows: tuple[Array, Array] = (np.zeros(0, np.intp), np.zeros(0, np.intp))
    """Of a mix: the rows of the samples of this process among those that it loads, and those of their partners."""

    def mixed(self, loaded: Loaded) -> Loaded:
        """Return the samples of this process and their targets."""
        return loaded if self.mix is None else self.mix.applied(*loaded, *self.rows)


def steps_of(
    order: Array, size: int, first: int, *, shard: Callable[[int], slice], mixing: Mixing | None, epoch: int
) -> list[Step]:
    """Return the steps of an epoch of `size` samples in the given order, from the first that is not done on.

    `shard` returns which of so many samples are those of this process.
    """
    found = []
    for step, start in list(enumerate(range(0, len(order), size)))[first:]:
        indices = order[start : start + size]
        n = len(indices)
        mine = np.arange(n)[shard(n)]
        if mixing is None:
            found.append(Step(n, indices[mine]))
            continue
        mix = mixing.draw(n, epoch, step)
        needed, at = np.unique(np.concatenate([mine, mix.partners[mine]]), return_inverse=True)
        found.append(Step(n, indices[needed], mix, (at[: len(mine)], at[len(mine) :])))
    return found
