"""The axes of a foreign tensor as parts of the axes of a node's value, so that no reshape and transpose costs a layer.

A node's value is [n, c, ...]. Its axes are split into factors, whose product in C order is the value; an axis of the
tensor is some of these factors, joined in their order. So a transpose, a reshape that splits and joins axes, and axes
of size one are all the same value seen in another way, and the layers that read it decide what has to be moved.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from cnnspec.layers import Shape

BATCH = 0
"""The place of the batch among the factors."""


class View(NamedTuple):
    """A tensor as a node's value [n, c, ...] whose axes are split and joined again."""

    factors: tuple[int, ...]
    """The sizes of the factors in the order of the value; the first is the batch."""
    axes: tuple[tuple[int, ...], ...]
    """The factors of each axis of the tensor; none for an axis of size one."""

    @classmethod
    def of(cls, batch: int, shape: Shape) -> View:
        """Return a value [n, *shape] as it is."""
        sizes = (batch, *shape)
        return cls(sizes, tuple((i,) for i in range(len(sizes))))

    @property
    def shape(self) -> Shape:
        """The shape of the tensor, with the batch."""
        return tuple(math.prod(self.factors[i] for i in axis) for axis in self.axes)

    @property
    def order(self) -> tuple[int, ...]:
        """The factors in the order of the tensor."""
        return tuple(i for axis in self.axes for i in axis)

    @property
    def batch_first(self) -> bool:
        """Whether the first axis is the batch alone."""
        return bool(self.axes) and self.axes[0] == (BATCH,)

    @property
    def has_batch(self) -> bool:
        """Whether the batch is among its axes: tensors of a model without a batch have none."""
        return BATCH in self.order

    def holds_batch(self, axis: int) -> bool:
        """Whether an axis is the batch, alone or with others."""
        return BATCH in self.axes[axis]

    def with_batch(self) -> View:
        """Return the tensor with the batch as its first axis where it has none."""
        return self if self.has_batch else self._replace(axes=((BATCH,), *self.axes))

    def transposed(self, order: Sequence[int]) -> View:
        """Return the tensor with its axes in another order."""
        return self._replace(axes=tuple(self.axes[i] for i in order))

    def with_axes(self, places: Iterable[int]) -> View:
        """Return the tensor with new axes of size one at these places of the result."""
        axes = list(self.axes)
        for place in sorted(places):
            axes.insert(place, ())
        return self._replace(axes=tuple(axes))

    def without(self, *places: int) -> View:
        """Return the tensor without these axes, of size one."""
        return self._replace(axes=tuple(axis for i, axis in enumerate(self.axes) if i not in places))

    def split_at_batch(self) -> tuple[View, tuple[int, ...]]:
        """Return the tensor whose batch is an axis of its own, and how many axes each of its axes becomes."""
        axes: list[tuple[int, ...]] = []
        counts = []
        for axis in self.axes:
            i = axis.index(BATCH) if BATCH in axis else 0
            parts = [part for part in (axis[:i], axis[i : i + 1], axis[i + 1 :]) if part] if BATCH in axis else [axis]
            axes += parts
            counts.append(len(parts))
        return self._replace(axes=tuple(axes)), tuple(counts)

    def joined(self, counts: Sequence[int]) -> View:
        """Return the tensor whose axes are joined, so many of them to each."""
        ends = list(itertools.accumulate(counts))
        groups = (self.axes[end - count : end] for end, count in zip(ends, counts, strict=True))
        return self._replace(axes=tuple(tuple(itertools.chain.from_iterable(group)) for group in groups))

    def reshaped(self, shape: Shape) -> View | None:
        """Return the tensor in another shape with as many elements; None where a factor does not split so."""
        waiting = [(i, self.factors[i]) for i in self.order if self.factors[i] != 1 or i == BATCH]
        pieces: dict[int, list[int]] = {}
        axes: list[list[tuple[int, int]]] = []
        for place, size in enumerate(shape):
            left, axis = size, []
            while waiting and (left > 1 or (waiting[0][0] == BATCH and self.factors[BATCH] == 1 and not place)):
                factor, n = waiting.pop(0)
                taken = math.gcd(n, left) if n > left else n
                if left % taken or n % taken or (n > left and taken != left) or (factor == BATCH and taken != n):
                    return None
                axis.append((factor, len(pieces.setdefault(factor, []))))
                pieces[factor].append(taken)
                left //= taken
                if n > taken:
                    waiting.insert(0, (factor, n // taken))
            if left != 1:
                return None
            axes.append(axis)
        if waiting:
            return None
        factors: list[int] = []
        first: dict[int, int] = {}
        for i, n in enumerate(self.factors):
            first[i] = len(factors)
            factors += pieces.get(i, [n])
        return View(tuple(factors), tuple(tuple(first[i] + piece for i, piece in axis) for axis in axes))

    def simplified(self) -> View:
        """Return the same view without factors of size one, and with factors that always stay together as one."""
        order = [i for i in self.order if i == BATCH or self.factors[i] != 1]
        behind = dict(pairwise(order))
        start_of_axis = {axis[0] for axis in map(self._large, self.axes) if axis}
        kept = [i for i, n in enumerate(self.factors) if i == BATCH or n != 1]
        groups: list[list[int]] = []
        for i, previous in zip(kept, [None, *kept], strict=False):
            joins = previous is not None and previous != BATCH and behind.get(previous) == i and i not in start_of_axis
            if joins:
                groups[-1].append(i)
            else:
                groups.append([i])
        leaders = {group[0]: place for place, group in enumerate(groups)}
        factors = tuple(math.prod(self.factors[i] for i in group) for group in groups)
        axes = tuple(
            tuple(leaders[i] for i in axis if i in leaders and (i == BATCH or self.factors[i] != 1))
            for axis in self.axes
        )
        return View(factors, axes)

    def _large(self, axis: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(i for i in axis if i == BATCH or self.factors[i] != 1)
