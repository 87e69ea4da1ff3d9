"""The softmax in training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from cnnspec_numpy.plan.functions import Call, log_softmax, softmax
from cnnspec_numpy.training.calls import put
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class Softmax(Operation):
    """exp(x) / Σ exp(x) over the channels, or its logarithm."""

    keeps_output = True

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the sums are over the channels."""
        return super().applies(node) and node.layer.normalises_classes

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for dx, and for a sum at each position."""
        size = n * math.prod(self.node.shape)
        return {"part": size, "sums": size // self.node.shape[0]}

    def _work(self, job: Job) -> tuple[Array, Array, int]:
        """Return arrays of the output's shape and of one channel, and the axis of the channels."""
        shape = job.y.inner_shape
        axis = 1 if len(shape) == 4 else 0
        sums = job.work("sums").reshape(*shape[:axis], 1, *shape[axis + 1 :])
        return job.work("part").reshape(shape), sums, axis

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the function."""
        part, sums, axis = self._work(job)
        if self.node.kind == "softmax":
            yield from softmax(job.x[0].inner, job.y.inner, sums, axis)
        else:
            yield from log_softmax(job.x[0].inner, job.y.inner, part, sums, axis)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield y·(dy − Σ dy·y), or dy − exp(y)·Σ dy."""
        if job.dx[0] is None or job.dy is None:
            return
        part, sums, axis = self._work(job)
        y, dy, dx = job.y.inner, job.dy.inner, job.dx[0].inner
        if self.node.kind == "softmax":
            yield partial(np.multiply, dy, y, out=part)
            yield partial(np.add.reduce, part, axis=axis, keepdims=True, out=sums)
            yield partial(np.subtract, dy, sums, out=part)
            yield partial(np.multiply, part, y, out=part)
        else:
            yield partial(np.add.reduce, dy, axis=axis, keepdims=True, out=sums)
            yield partial(np.exp, y, out=part)
            yield partial(np.multiply, part, sums, out=part)
            yield partial(np.subtract, dy, part, out=part)
        yield put(part, dx, job.adds[0])
