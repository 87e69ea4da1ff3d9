"""Datasets and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data.augment import Augmentation
from cnnspec.errors import DataError

Loaded = tuple[Samples | dict[str, Samples], Array | Arrays]
"""The samples of a batch, and their targets."""


class Split(Protocol):
    """One part of a dataset: its samples and their targets, read on demand."""

    n: int
    """The number of samples."""

    @property
    def strata(self) -> Array | None:
        """The class of each sample, int64 [n], in proportion to which samples are held out; None without classes."""

    def load(self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False) -> Loaded:
        """Return the samples of these indices and their targets: indices [len] -> x [len, c, h, w], target [len, ...].

        Samples are float32, and those of every input by name where the network has several. Targets are class indices
        (int64, or any integers for maps), labels or numbers, by name where outputs have targets of their own. An
        augmentation changes samples before their pixels are scaled, and what moves with them of the targets. With
        `pixels`, an input whose samples are uint8 gets them as `Pixels`, which are not scaled yet. Raises DataError,
        with the file's name, for a broken file.
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
    validation: Split | None = None
    """What the data itself holds out."""
    skipped: Mapping[str, int] | None = None
    """How many samples of each part are left out for a broken file; None where such files are errors."""


def rows(values: Array | Arrays, at: Array | slice) -> Array | Arrays:
    """Return the rows of an array, or of each array by name."""
    return {name: array[at] for name, array in values.items()} if isinstance(values, dict) else values[at]


class Subset:
    """Some samples of a split, in the order of their indices."""

    def __init__(self, split: Split, indices: Array) -> None:
        self.split = split
        self.indices = indices
        self.n = len(indices)

    @property
    def strata(self) -> Array | None:
        """The class of each sample, as the whole split has them."""
        return None if self.split.strata is None else self.split.strata[self.indices]

    def load(self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False) -> Loaded:
        """Return the samples of these indices and their targets, as the whole split does."""
        return self.split.load(self.indices[indices], augmentation, pixels=pixels)


def strata_of(targets: Array | Arrays) -> Array | None:
    """Return the class of each sample where targets are one for each, of the first output of several; else None."""
    first = next(iter(targets.values())) if isinstance(targets, dict) else targets
    return first if first.ndim == 1 and first.dtype.kind == "i" else None


def split_off(split: Split, fraction: float, seed: int) -> tuple[Split, Split | None]:
    """Return the rest of a split, and a random, stratified fraction of it that is held out.

    A fraction of zero holds nothing out (None); raises DataError for one that rounds to no sample, or to all of them.
    """
    if fraction == 0:
        return split, None
    rest, held_out = divided(split.n, split.strata, fraction, seed)
    return Subset(split, rest), Subset(split, held_out)


def held_out(dataset: Dataset, fraction: float, seed: int) -> tuple[Split, Split | None]:
    """Return the samples to train on, and those held out: by the data itself, or a fraction of the training data.

    Raises DataError where both are there.
    """
    if dataset.validation is None:
        return split_off(dataset.train, fraction, seed)
    if fraction:
        raise DataError(f"`{dataset.name}` has validation data of its own: leave out `validation: {fraction:g}`")
    return dataset.train, dataset.validation


def divided(n: int, strata: Array | None, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the indices of the rest and of the held-out fraction of n samples, ascending, in proportion to strata."""
    count = round(fraction * n)
    if not 0 < count < n:
        raise DataError(f"a fraction of {fraction:g} of {n:,} samples is {count:,}: neither part may be empty")
    order = rng.stream(seed, "split").permutation(n)
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    # evenly spaced among the samples in the order of their classes: each class has its fraction, to within one sample
    places = (2 * np.arange(count) + 1) * n // (2 * count)
    held = np.zeros(n, bool)
    held[order[places]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
