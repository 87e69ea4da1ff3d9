"""Merges in training: branches are added, multiplied or put one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.value import BATCH_LAST, Value, channels_of
from cnnspec_numpy.training.calls import add_up, put
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class Add(Operation):
    """The sum of the branches; each has dy as its gradient."""

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield an addition for each branch."""
        first, *others = [x.inner for x in job.x]
        y = job.y.inner
        for other in others:
            yield partial(np.add, first, other, out=y)
            first = y

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a copy or an addition of dy for each branch."""
        assert job.dy is not None
        for dx, adds in zip(job.dx, job.adds, strict=True):
            if dx is not None:
                yield put(job.dy.inner, dx.inner, adds)


class Concat(Operation):
    """The channels of the branches, one after the other."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether it is the channels that are joined."""
        return bool(node.layer.joins_channels)

    def _parts(self, whole: Value) -> Iterator[Array]:
        first = 0
        for shape in self.node.in_shapes:
            yield channels_of(BATCH_LAST, whole.inner, first, first + shape[0])
            first += shape[0]

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield a copy of each branch."""
        for x, part in zip(job.x, self._parts(job.y), strict=True):
            yield partial(np.copyto, part, x.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a copy or an addition of each branch's channels of dy."""
        assert job.dy is not None
        for dx, part, adds in zip(job.dx, self._parts(job.dy), job.adds, strict=True):
            if dx is not None:
                yield put(part, dx.inner, adds)


class Multiply(Operation):
    """The product of the branches, in which axes of size one are repeated; each has dy times the others."""

    keeps_input = True

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for a gradient, and for its sums along an axis that is repeated."""
        size = n * math.prod(self.node.shape)
        return {"part": size, "sums": size}

    def _full(self, a: Array) -> Array:
        """Return a vector over the channels as an image of one element, where the product is an image."""
        return a[None, :, None] if a.ndim < 4 and len(self.node.shape) == 3 else a

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield a multiplication for each branch."""
        first, *others = (self._full(x.inner) for x in job.x)
        yield from _product([first, *others], job.y.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield dy times the other branches, added up along the axes that are repeated."""
        assert job.dy is not None
        dy = job.dy.inner
        xs = [self._full(x.inner) for x in job.x]
        part = job.work("part").reshape(dy.shape)
        for i, (dx, adds) in enumerate(zip(job.dx, job.adds, strict=True)):
            if dx is None:
                continue
            yield from _product([dy, *xs[:i], *xs[i + 1 :]], part)
            place = self._full(dx.inner)
            result = yield from add_up(part, place.shape, job.work("sums"))
            yield put(result, place, adds)


def _product(factors: list[Array], out: Array) -> Iterator[Call]:
    """Yield the product of arrays that broadcast to out."""
    first, *others = factors
    if not others:
        yield partial(np.copyto, out, first)
    for other in others:
        yield partial(np.multiply, first, other, out=out)
        first = out
