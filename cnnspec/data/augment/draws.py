"""The random numbers of augmentation, which depend on the seed, the epoch, the sample and the transform alone.

A number is a hash of its place (SplitMix64, Steele, Lea & Flood 2014), so that those of many samples are drawn at once,
and each sample's are the same in any batch, process or order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array

_STEP = 0x9E3779B97F4A7C15
SLOTS = 64
"""How many numbers a transform can draw for each sample."""


def key_of(seed: int, epoch: int, position: int) -> int:
    """Return the key of a transform's numbers in an epoch; `position` counts the transforms of a list."""
    return int(rng.stream(seed, "augment", epoch, position).integers(1 << 64, dtype=np.uint64))


class Draws(NamedTuple):
    """The random numbers of one transform for some samples."""

    key: int
    indices: Array
    """The samples, by their indices in the data: [n]."""

    def bits(self, slot: int) -> Array:
        """Return 64 random bits for each sample: uint64 [n]."""
        z = self.indices.astype(np.uint64) * np.uint64(SLOTS) + np.uint64(slot + 1)
        z = np.uint64(self.key) + z * np.uint64(_STEP)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))

    def uniform(self, slot: int, low: float = 0.0, high: float = 1.0) -> Array:
        """Return a number in [low, high) for each sample: float64 [n]."""
        return low + (high - low) * ((self.bits(slot) >> np.uint64(11)) * 2.0**-53)

    def below(self, slot: int, bound: Array | int) -> Array:
        """Return an integer from 0 to bound − 1 for each sample, with a bound below 2³²: intp [n]."""
        bits = self.bits(slot) >> np.uint64(32)
        return (bits * np.asarray(bound, np.uint64) >> np.uint64(32)).astype(np.intp)

    def happens(self, slot: int, probability: float) -> Array:
        """Return whether something of that probability happens to each sample: bool [n]."""
        return self.uniform(slot) < probability

    def stream(self, slot: int, i: int) -> np.random.Generator:
        """Return a generator of as many numbers as the sample i of these needs."""
        return np.random.default_rng(int(self.bits(slot)[i]))

    def of(self, rows: Array) -> Draws:
        """Return the numbers of some of the samples."""
        return self._replace(indices=self.indices[rows])
