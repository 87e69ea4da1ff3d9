"""What training reads: a dataset, and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array
from cnnspec.errors import DataError


class Split(Protocol):
    """One part of a dataset: its samples, made on demand, and their targets."""

    n: int
    """How many samples there are."""
    targets: Array
    """int64 [n], class indices; or float [n, ...], what mean squared error compares the output with."""

    def samples(self, indices: Array) -> Array:
        """The samples of these indices as a network takes them: indices [len] -> x [len, c, h, w] or [len, f], float32.

        A file that turns out to be broken is a DataError that names it.
        """


@dataclass(frozen=True)
class Dataset:
    """What `--data` names, fitted to a network."""

    name: str
    train: Split
    test: Split | None = None
    classes: tuple[str, ...] = ()
    """The names of the classes in the order of their indices; of data that has none, the spec's."""
    notes: tuple[str, ...] = ()
    """What is unusual about it, though nothing is wrong."""


class Subset:
    """Some samples of a split, in the order of their indices."""

    def __init__(self, split: Split, indices: Array) -> None:
        self.split = split
        self.indices = indices
        self.n = len(indices)
        self.targets = split.targets[indices]

    def samples(self, indices: Array) -> Array:
        """As the whole split makes them."""
        return self.split.samples(self.indices[indices])


def split_off(split: Split, share: float, seed: int) -> tuple[Split, Split | None]:
    """The rest of a split, and a random share of it that is held out; each class gives its share.

    A share of zero holds nothing out (None); one that rounds to no sample, or to all of them, is a DataError.
    """
    if share == 0:
        return split, None
    rest, held_out = divided(split.targets, share, seed)
    return Subset(split, rest), Subset(split, held_out)


def divided(targets: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Indices of the rest and of the share that is held out, both ascending; stratified where targets are classes."""
    n = len(targets)
    count = round(share * n)
    if not 0 < count < n:
        raise DataError(f"a share of {share:g} of {n:,} samples is {count:,}; something must be on either side")
    order = rng.stream(seed, "split").permutation(n)
    if targets.dtype.kind == "i":
        order = order[np.argsort(targets[order], kind="stable")]
    # evenly spaced among the samples in the order of their classes: each class gives its share, to within one
    places = (2 * np.arange(count) + 1) * n // (2 * count)
    held = np.zeros(n, bool)
    held[order[places]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
