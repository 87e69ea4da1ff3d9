"""Methods that compute the whole output at once, or block by block of rows: elementwise layers and any kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.kernels import Context, kernels_of_kinds
from cnnspec_numpy.plan.finish import View, nchw, stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CALL, PASS, Block, Job
from cnnspec_numpy.plan.methods.pool import InLayout
from cnnspec_numpy.plan.value import CHANNELS_LAST, from_nchw, shape_in


class OverOutput(InLayout):
    """A method whose result is a block of the whole output; lanes leave it to the first."""

    passes = 1.0
    adds_bias = False
    """Whether `fill` adds the layer's bias, so that the finish does not."""

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate some passes over the output, and the stages."""
        size = n * math.prod(operation.node.shape)
        return 4 * CALL + size * self.passes * PASS + stages_cost(operation, size) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the result, and memory for the stages."""
        size = n * math.prod(operation.node.shape)
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the calls of `fill`, and the finish."""
        if job.lane:
            return
        place, y, operation = job.y.inner, job.y, job.operation
        result = place
        if operation.pool is not None:
            # The layer's own output, of which the finish takes the maximum.
            shape = shape_in(self.layout, operation.node.shape, y.n)
            result = job.work("product")[: math.prod(shape)].reshape(shape)
        elif not place.flags.c_contiguous:
            result = job.work("product")[: place.size].reshape(place.shape)
        yield from self.fill(job, result)
        axis = self.channel_axis if len(y.image) == 3 else (-1 if self.layout is CHANNELS_LAST else -2)
        yield from job.finish(result, lambda z: z, job.work("spare"), channel_axis=axis, bias=not self.adds_bias)

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the calls that write the layer's output to `out`, an array of the layout."""
        raise NotImplementedError


class Blocked(OverOutput):
    """A method that computes each element of the output from those at its place, block by block."""

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block] | None:
        """Return blocks of rows of an image; None for a vector, which is one block."""
        shape = operation.node.shape
        return self.row_blocks(operation, n, 3 * shape[0] * shape[2], lanes) if len(shape) == 3 else None

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the result of a block, and memory for the stages."""
        shape, blocks = operation.node.shape, self._blocks(operation, n, lanes)
        size = n * math.prod(shape)
        if blocks is not None:
            size = max((b.n1 - b.n0) * (b.r1 - b.r0) for b in blocks) * shape[0] * shape[2]
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the calls of `combine` and the finish for each block."""
        blocks = self._blocks(job.operation, job.y.n, job.lanes)
        channels_last = self.layout is CHANNELS_LAST
        if blocks is None:
            flat_axis = self.channel_axis if len(job.y.image) == 3 else (-1 if channels_last else -2)
            yield from self._block(job, lambda z: z, flat_axis) if not job.lane else ()
            return
        for block in job.share(blocks):

            def view(z: Array, block: Block = block) -> Array:
                return self.rows_of(z, block, block.r0, block.r1)

            yield from self._block(job, view, self.channel_axis)

    def _block(self, job: Job, view: View, axis: int) -> Iterator[Call]:
        place = view(job.y.inner)
        result = place if place.flags.c_contiguous else job.work("product")[: place.size].reshape(place.shape)
        yield from self.combine(job, [view(x.inner) for x in job.x], result, axis)
        yield from job.finish(result, view, job.work("spare"), channel_axis=axis)

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield the calls that compute a block; `out` may be the first of xs."""
        raise NotImplementedError


class Elementwise(Blocked):
    """A function of each number by itself."""

    name = "elementwise"
    in_place = True

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield the function's calls."""
        yield from job.finish.apply(job.operation.node, xs[0], out, job.work("spare"), axis)


class Kernel(OverOutput):
    """The readable kernel of the interpreter, on a copy with the axes [n, c, h, w]: for what has no other method."""

    name = "kernel"
    passes = 30.0
    adds_bias = True

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate some passes, and the arithmetic at a third of BLAS' speed."""
        node = operation.node
        arithmetic = 2 * n * node.layer.macs(node.in_shapes, node.shape) / 25e9
        return 1e-5 + super().cost(operation, n) + arithmetic

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the call of the kernel."""
        node = job.operation.node
        kernel = kernels_of_kinds([node.kind])[node.kind]
        arrays = [nchw(x) for x in job.x]
        shapes = [(x.n, *x.shape) for x in job.x]
        params = {key: job.prepared(f"kernel {key}", _reader(key)) for key in node.parameters}
        context: Context[Any] = Context(node, params)

        def call() -> None:
            y, _ = kernel(context, *(np.ascontiguousarray(a).reshape(s) for a, s in zip(arrays, shapes, strict=True)))
            np.copyto(out, from_nchw(job.y.layout, y))

        yield call


def _reader(key: str) -> Any:
    return lambda read: read(key)
