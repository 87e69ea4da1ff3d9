"""Datasets and their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.errors import DataError


class Split(Protocol):
    """One part of a dataset: its samples, read on demand, and their targets."""

    n: int
    """The number of samples."""

    @property
    def targets(self) -> Array | Arrays:
        """Class indices, int64 [n]; or numbers, float [n, ...]; by name where outputs have targets of their own."""

    def samples(self, indices: Array) -> Array | Arrays:
        """Return the samples of these indices: indices [len] -> x [len, c, h, w] or [len, f], float32.

        They are those of every input by name where the network has several. Raises DataError, with the file's name, for
        a broken file.
        """


@dataclass(frozen=True)
class Dataset:
    """A dataset, fitted to a network."""

    name: str
    train: Split
    test: Split | None = None
    classes: tuple[str, ...] = ()
    """The names of the classes in the order of their indices; the spec's where the data has none."""
    notes: tuple[str, ...] = ()
    """Remarks for the user that are not errors."""


def rows(values: Array | Arrays, at: Array | slice) -> Array | Arrays:
    """Return the rows of an array, or of each array by name."""
    return {name: array[at] for name, array in values.items()} if isinstance(values, dict) else values[at]


class Subset:
    """Some samples of a split, in the order of their indices."""

    def __init__(self, split: Split, indices: Array) -> None:
        self.split = split
        self.indices = indices
        self.n = len(indices)
        self.targets = rows(split.targets, indices)

    def samples(self, indices: Array) -> Array | Arrays:
        """Return the samples of these indices, as the whole split does."""
        return self.split.samples(self.indices[indices])


def split_off(split: Split, fraction: float, seed: int) -> tuple[Split, Split | None]:
    """Return the rest of a split, and a random, stratified fraction of it that is held out.

    A fraction of zero holds nothing out (None); raises DataError for one that rounds to no sample, or to all of them.
    """
    if fraction == 0:
        return split, None
    # By the targets of the first output, where outputs have targets of their own.
    targets = next(iter(split.targets.values())) if isinstance(split.targets, dict) else split.targets
    rest, held_out = divided(targets, fraction, seed)
    return Subset(split, rest), Subset(split, held_out)


def divided(targets: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the indices of the rest and of the held-out fraction, ascending; stratified where targets are classes."""
    n = len(targets)
    count = round(fraction * n)
    if not 0 < count < n:
        raise DataError(f"a fraction of {fraction:g} of {n:,} samples is {count:,}: neither part may be empty")
    order = rng.stream(seed, "split").permutation(n)
    if targets.dtype.kind == "i":
        order = order[np.argsort(targets[order], kind="stable")]
    # evenly spaced among the samples in the order of their classes: each class has its fraction, to within one sample
    places = (2 * np.arange(count) + 1) * n // (2 * count)
    held = np.zeros(n, bool)
    held[order[places]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
