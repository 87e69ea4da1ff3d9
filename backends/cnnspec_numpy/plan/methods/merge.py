"""Merges: branches are added, multiplied or put one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CALL, Job
from cnnspec_numpy.plan.methods.pool import InLayout
from cnnspec_numpy.plan.methods.whole import Blocked, OverOutput
from cnnspec_numpy.plan.value import CHANNELS_LAST, Value, channels_of


class Add(Blocked):
    """The sum of the branches."""

    name = "sum"
    in_place = True

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield an addition for each branch."""
        first, *others = xs
        for other in others:
            yield partial(np.add, first, other, out=out)
            first = out


class Multiply(OverOutput):
    """The product of the branches; gates are broadcast."""

    name = "product of branches"

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield a multiplication for each branch, the full image first."""
        arrays = [self._image(x) for x in job.x]
        first, *others = sorted(arrays, key=lambda a: -a.size)
        for other in others:
            yield partial(np.multiply, first, other, out=out)
            first = out

    def _image(self, x: Value) -> Array:
        """Return a vector over the channels as an image of one element."""
        if x.inner.ndim == 4:
            return x.inner
        return x.inner[:, None, None, :] if self.layout is CHANNELS_LAST else x.inner[None, :, None, :]

    def applies(self, operation: Operation) -> bool:
        """Whether the output is an image."""
        return len(operation.node.shape) == 3


class Concat(InLayout):
    """The channels of all branches; those that wrote into their place already need no copy."""

    name = "concat"

    def applies(self, operation: Operation) -> bool:
        """Whether it is the channels that are joined."""
        return operation.node.layer.joins_channels

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate that most branches wrote into their place."""
        return CALL

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield a copy for each branch whose memory is elsewhere."""
        if job.lane:
            return
        first = 0
        for x in job.x:
            c = x.image[0]
            if x.parent is not job.y:
                place = channels_of(self.layout, job.y.inner, first, first + c)
                yield partial(np.copyto, place, x.inner)
            first += c
