"""Comparison of a network's outputs with those of its exported form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array

BATCHES = (1, 3)
"""The sizes of the batches that are compared: one sample, and several."""
TOLERANCE = 1e-4
"""The largest difference in float32, relative to the largest number of an output."""


class Difference(NamedTuple):
    """The largest difference of outputs, as it is and relative to the largest number of its output."""

    absolute: float
    relative: float

    def __str__(self) -> str:
        return f"{self.absolute:.2g} absolute, {self.relative:.2g} relative"


def difference(expected: Array, actual: Array) -> Difference:
    """Return the difference of two arrays; numbers that are not finite differ unless they are the same."""
    if expected.shape != actual.shape:
        return Difference(math.inf, math.inf)
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    with np.errstate(invalid="ignore"):
        off = np.where(same, 0.0, np.abs(expected.astype(np.float64) - actual))
    largest = float(np.nan_to_num(off, nan=math.inf, posinf=math.inf).max(initial=0.0))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return Difference(largest, largest / scale if scale else largest)


def largest(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> Difference:
    """Return the largest differences over arrays by name."""
    return worst(difference(array, actual[name]) for name, array in expected.items())


def worst(differences: Iterable[Difference]) -> Difference:
    """Return the largest of several differences, absolute and relative each by itself."""
    absolute, relative = zip(*differences, strict=True)
    return Difference(max(absolute), max(relative))
