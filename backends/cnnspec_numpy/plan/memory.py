"""One block of memory for all values of a plan: which regions may overlap, and where each lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from cnnspec.arrays import Array

ALIGNMENT = 64
"""Bytes of a cache line."""


@dataclass(eq=False)
class Region:
    """A stretch of memory that is in use from step `first` to step `last`, both included."""

    size: int
    """Bytes."""
    first: int
    last: int
    offset: int = 0

    def extend(self, step: int) -> None:
        """Keep the region in use at a step."""
        self.first, self.last = min(self.first, step), max(self.last, step)

    def overlaps(self, other: Region) -> bool:
        """Whether two regions share bytes."""
        return self.offset < other.offset + other.size and other.offset < self.offset + self.size


def place(regions: list[Region]) -> int:
    """Set the offset of each region so that none in use at the same time overlap; return the bytes of all.

    One after the other, each into the lowest gap that is wide enough: the largest first (greedy by size; Pisarchyk and
    Lee 2020, section 5.2). Where gaps stay empty, the region that reaches highest goes before all others, and so on;
    the best of these orders is taken.
    """
    order = sorted(regions, key=lambda r: -r.size)
    least = (1 + _WASTE) * peak(regions)[0]
    best, best_order = _placed(order), order
    for _ in range(_ATTEMPTS):
        if best <= least:
            break
        highest = max(order, key=lambda r: r.offset + r.size)
        order = [highest, *(region for region in order if region is not highest)]
        if (total := _placed(order)) < best:
            best, best_order = total, order
    return _placed(best_order)


_ATTEMPTS = 30
_WASTE = 0.02
"""The share of memory between regions that is not worth another attempt."""


def peak(regions: Iterable[Region]) -> tuple[int, int]:
    """Return the most bytes in use at one time, which is the least that a placement takes, and the step."""
    changes: dict[int, int] = {}
    for region in regions:
        size = aligned(region.size)
        changes[region.first] = changes.get(region.first, 0) + size
        changes[region.last + 1] = changes.get(region.last + 1, 0) - size
    steps = sorted(changes)
    return max(zip(accumulate(map(changes.__getitem__, steps)), steps, strict=True), default=(0, 0))


def _placed(regions: list[Region]) -> int:
    """Set the offset of each region, in this order; return the bytes of all."""
    placed: list[Region] = []
    total = 0
    for region in regions:
        size = aligned(region.size)
        offset = 0
        for other in sorted((p for p in placed if region.first <= p.last and p.first <= region.last), key=_offset):
            if offset + size <= other.offset:
                break
            offset = max(offset, other.offset + aligned(other.size))
        region.offset = offset
        placed.append(region)
        total = max(total, offset + size)
    return total


def _offset(region: Region) -> int:
    return region.offset


def aligned(size: int) -> int:
    """Return a size in bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def allocate(size: int) -> Array:
    """Return zeroed bytes that begin at a cache line."""
    block = np.zeros(size + ALIGNMENT, np.uint8)
    skip = -block.ctypes.data % ALIGNMENT
    return block[skip : skip + size]


def carve(block: Array, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of that shape in a block of bytes."""
    count = int(np.prod(shape, dtype=np.int64))
    return block[offset : offset + count * dtype.itemsize].view(dtype).reshape(shape)
