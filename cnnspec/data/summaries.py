"""What columns and pixels of a dataset hold, in figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.cells import SEPARATORS, label_names

MOST_CLASSES = 1000
"""Whole numbers of more values than that are numbers, not classes."""


@dataclass(frozen=True)
class Summary:
    """What a column holds."""

    kind: str
    """`classes`, `labels`, `numbers` or `text`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many samples have each class or label, in the order of the classes; of text, nothing."""
    range: tuple[float, float, float] | None = None
    """Smallest number, mean, and largest number."""
    empty: int = 0
    """Cells without a value."""

    def as_data(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.counts:
            found["counts"] = dict(self.counts)
        if self.range:
            found |= dict(zip(("smallest", "mean", "largest"), self.range, strict=True))
        return found | ({"empty": self.empty} if self.empty else {})


def summary(values: Sequence[Any], classes: Sequence[str] = ()) -> Summary:
    """Return what a column holds; `classes` are the names of classes that the source has for it."""
    cells = [value for value in values if value is not None and value != ""]
    empty = len(values) - len(cells)
    if classes:
        found = Counter(classes[v] if isinstance(v, int) and 0 <= v < len(classes) else str(v) for v in cells)
        return Summary("classes", {name: found.pop(name, 0) for name in classes} | dict(found), empty=empty)
    separator = next((one for one in SEPARATORS if any(isinstance(v, str) and one in v for v in cells)), None)
    if any(isinstance(v, list) for v in cells) or separator:
        lists = [label_names(value, separator) for value in cells]
        if any(found is None for found in lists):
            return Summary("lists", empty=empty)
        return Summary("labels", _counted(label for found in lists for label in found or ()), empty=empty)
    numbers = [_number(value) for value in cells]
    if cells and None not in numbers:
        exact = [number for number in numbers if number is not None]
        whole = all(number.is_integer() for number in exact) and not any(isinstance(v, float) for v in cells)
        if not whole or len(set(exact)) > min(MOST_CLASSES, max(2, len(exact) // 2)):
            return Summary("numbers", range=(min(exact), math.fsum(exact) / len(exact), max(exact)), empty=empty)
    counts = _counted(map(str, cells))
    if len(counts) > min(MOST_CLASSES, max(2, len(cells) // 2)) and len(counts) > 20:
        return Summary("text", empty=empty)
    return Summary("classes", counts, empty=empty)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _counted(words: Any) -> dict[str, int]:
    """Return how often each word occurs, in their order: that of numbers where all are."""
    found = Counter(words)
    by_number = all(word.lstrip("-").isdecimal() for word in found)
    return dict(sorted(found.items(), key=lambda item: int(item[0]) if by_number else item[0]))


@dataclass
class Channels:
    """Mean and deviation of each channel, accumulated over images in float64."""

    count: int = 0
    total: Array | float = 0.0
    squares: Array | float = 0.0

    def add(self, count: int, total: Array, squares: Array) -> None:
        """Add the sums of an image over its positions: [c]."""
        self.count += count
        self.total = self.total + total
        self.squares = self.squares + squares

    def merged(self, other: Channels) -> Channels:
        """Return the sums of both."""
        return Channels(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def figures(self) -> tuple[list[float], list[float]]:
        """Return the mean and the standard deviation of each channel."""
        mean = np.asarray(self.total) / self.count
        variance = np.maximum(np.asarray(self.squares) / self.count - mean**2, 0)
        return mean.tolist(), np.sqrt(variance).tolist()


def sums(pixels: Array) -> tuple[int, Array, Array]:
    """Return the number of positions of an image, and the sums of its numbers and their squares over these: [c]."""
    rows = pixels.reshape(len(pixels), -1).astype(np.float64)
    return rows.shape[1], rows.sum(axis=1), np.einsum("cp,cp->c", rows, rows)
