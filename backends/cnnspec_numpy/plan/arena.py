"""The memory of a plan's values: regions by lifetime, arrays bound to them, and borders that are kept at zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.memory import allocate, carve, place
from cnnspec_numpy.plan.value import Value, border_of


class Arena:
    """One block of memory in which every value has its array, for as long as its region says."""

    def __init__(self, values: Iterable[Value], dtype: np.dtype[Any]) -> None:
        values = list(values)
        roots = in_use(values, dtype)
        regions = [value.region for value in roots]
        self.bytes = place(regions)
        memory = allocate(self.bytes)
        for value in roots:
            value.bind(carve(memory, value.region.offset, value.stored, dtype))
        bound = set(map(id, roots))
        for value in values:
            _bind(value, bound)
        self.zeros: dict[int, list[Call]] = {}
        """The calls that zero borders in each run, by the step before which they must have run.

        Memory begins as zeros, and nothing writes to a border: where no other value shares the memory it stays zero.
        """
        for value in roots:
            if any(value.border) and any(r is not value.region and r.overlaps(value.region) for r in regions):
                edges = border_of(value.layout, value.full, value.border)
                self.zeros.setdefault(value.region.first, []).extend(partial(edge.fill, 0) for edge in edges)


def in_use(values: Iterable[Value], dtype: np.dtype[Any]) -> list[Value]:
    """Return the values with memory of their own, whose regions last as long as what lies in them, with their size."""
    values = list(values)
    for value in values:
        root, own = value.root.region, value.region
        if root is not own and own.last >= own.first:
            root.extend(own.first)
            root.extend(own.last)
    roots = [value for value in values if value.parent is None and value.region.last >= value.region.first]
    for value in roots:
        value.region.size = math.prod(value.stored) * dtype.itemsize
    return roots


def _bind(value: Value, bound: set[int]) -> None:
    """Bind a value after those whose memory it lies in."""
    if id(value) in bound or value.parent is None:
        return
    _bind(value.parent, bound)
    value.bind()
    bound.add(id(value))
