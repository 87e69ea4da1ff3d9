"""Batches of a split, and the order of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.data.split import Split


def epoch_order(n: int, seed: int, epoch: int) -> Array:
    """Return the order of the samples in an epoch, the same for every backend: a permutation of the indices [n]."""
    return rng.stream(seed, "order", epoch).permutation(n)


def batches(split: Split, order: Array, size: int) -> Iterator[tuple[Array | Arrays, Array | Arrays, Array]]:
    """Yield batches (x, target, indices) of `size` samples in the given order; the last may be smaller."""
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        yield (*split.load(indices), indices)
