"""Pooling, in both layouts: along the rows and then along the columns, each a few passes over long runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers.geometry import Window
from cnnspec_numpy.plan.finish import stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation, slides
from cnnspec_numpy.plan.method import CACHE, CALL, PASS, Block, Job, Method, blocks_of
from cnnspec_numpy.plan.value import CHANNELS_LAST, Layout


class InLayout(Method):
    """A method that works alike in either layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def channel_axis(self) -> int:
        """The axis of the channels of an image."""
        return -1 if self.layout is CHANNELS_LAST else -3

    def row_blocks(self, operation: Operation, n: int, row: int, lanes: int) -> list[Block]:
        """Return blocks of output rows, where a row of one sample takes `row` numbers."""
        oh = operation.node.shape[1]
        if self.layout is CHANNELS_LAST:
            return blocks_of(n, oh, CACHE // max(1, row), lanes)
        return [Block(0, n, b.r0, b.r1) for b in blocks_of(1, oh, CACHE // max(1, row * n), lanes)]

    def rows_of(self, x: Array, block: Block, r0: int, r1: int) -> Array:
        """Return rows r0 … r1 of the samples of a block, as a view."""
        return x[block.n0 : block.n1, r0:r1] if self.layout is CHANNELS_LAST else x[r0:r1]

    def image(self, samples: int, rows: int, columns: int, channels: int) -> tuple[int, ...]:
        """Return the shape of an image in the layout."""
        if self.layout is CHANNELS_LAST:
            return samples, rows, columns, channels
        return rows, channels, columns, samples

    def over_image(self, a: Array) -> Array:
        """Return an array over rows and columns [h, w] in the form that broadcasts to an image."""
        return a[:, :, None] if self.layout is CHANNELS_LAST else a[:, None, :, None]


class SlidingPool(InLayout):
    """A maximum or a mean over sliding windows."""

    name = "pool"

    def applies(self, operation: Operation) -> bool:
        """Whether the windows have two axes, and no gaps."""
        return slides(operation.node) and operation.pool is None

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate a pass for each tap of each axis."""
        node = operation.node
        c, oh, ow = node.shape
        width = node.in_shapes[0][2]
        h, w = node.windows
        size = n * c * oh * ow
        run = c if self.layout is CHANNELS_LAST else n
        columns = size * w.kernel * (PASS + 3e-9 / run)
        return 4 * CALL + n * c * oh * width * h.kernel * PASS + columns + stages_cost(operation, size) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the rows after the first pass, the result, and memory for the stages."""
        c, _, ow = operation.node.shape
        width = operation.node.in_shapes[0][2]
        blocks = self.row_blocks(operation, n, c * (width + 2 * ow), lanes)
        rows = max((b.n1 - b.n0) * (b.r1 - b.r0) for b in blocks) * c
        return {"rows": rows * width, "product": rows * ow, "spare": rows * ow}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the passes for each block of rows."""
        operation, node, x = job.operation, job.operation.node, job.x[0].inner
        h, w = node.windows
        c, _, ow = node.shape
        height, width = node.in_shapes[0][1:]
        largest = node.layer.takes_maximum
        fold: Any = np.maximum if largest else np.add
        start = -math.inf if largest else 0.0
        axis = 1 if self.layout is CHANNELS_LAST else 0
        counts = None if largest else counts_of(node, getattr(node.layer, "count_padding", True))
        for block in job.share(self.row_blocks(operation, job.y.n, c * (width + 2 * ow), job.lanes)):
            samples, rows = block.n1 - block.n0, block.r1 - block.r0

            def view(y: Array, block: Block = block) -> Array:
                return self.rows_of(y, block, block.r0, block.r1)

            shape = self.image(samples, rows, width, c)
            inside = self.rows_of(x, block, 0, height)
            between = job.work("rows")[: math.prod(shape)].reshape(shape)
            yield from along(fold, inside, between, axis, h, height, start, block.r0)
            shape = self.image(samples, rows, ow, c)
            result = job.work("product")[: math.prod(shape)].reshape(shape)
            yield from along(fold, between, result, 2, w, width, start)
            if counts is not None:
                factor = self.over_image((1 / counts[block.r0 : block.r1]).astype(x.dtype))
                if np.all(factor == factor.flat[0]):
                    factor = factor.flat[0]
                yield partial(np.multiply, result, factor, out=result)
            yield from job.finish(result, view, job.work("spare"), channel_axis=self.channel_axis)


def along(
    fold: Any, x: Array, out: Array, axis: int, window: Window, n: int, start: float, first: int = 0
) -> Iterator[Call]:
    """Yield the passes that fold the taps of a window along one axis, for output positions from `first` on.

    Taps that lie in the padding are left out, which neither a maximum nor a sum of zeros feels.
    """
    count = out.shape[axis]
    taps = []
    for tap in range(window.kernel):
        begin, end = window.inside(tap, n)
        begin, end = max(begin, first), min(end, first + count)
        if begin < end:
            taps.append((begin - first, end - first, window.element(begin, tap)))
    whole = [part for part in taps if part[:2] == (0, count)]

    def over(begin: int, end: int) -> Array:
        return out[(*[slice(None)] * axis, slice(begin, end))]

    def under(begin: int, end: int, source: int) -> Array:
        return x[(*[slice(None)] * axis, slice(source, source + (end - begin - 1) * window.stride + 1, window.stride))]

    if len(whole) >= 2:
        yield partial(fold, under(*whole[0]), under(*whole[1]), out=out)
    elif whole:
        yield partial(np.copyto, out, under(*whole[0]))
    else:
        yield partial(out.fill, start)
    for begin, end, source in taps:
        if (begin, end, source) not in whole[:2]:
            place = over(begin, end)
            yield partial(fold, place, under(begin, end, source), out=place)


def counts_of(node: Any, count_padding: bool) -> Array:
    """Return how many elements count in the mean of each window: [oh, ow]."""
    axes = [
        [w.counted(position, n, count_padding) for position in range(w.out)]
        for w, n in zip(node.windows, node.in_shapes[0][1:], strict=True)
    ]
    return np.multiply.outer(*(np.array(axis, np.float64) for axis in axes))


class GlobalPool(InLayout):
    """The mean or the maximum of each channel."""

    name = "reduce"

    def applies(self, operation: Operation) -> bool:
        """Whether the input is an image, and the windows (of adaptive pooling) are one."""
        node = operation.node
        return len(node.in_shapes[0]) == 3 and all(w.out == 1 for w in node.windows) and operation.pool is None

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate one pass."""
        size = n * math.prod(operation.node.in_shapes[0])
        return 5 * CALL + size * PASS * 2

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the result, and memory for the stages."""
        c = n * operation.node.shape[0]
        return {"product": c, "spare": c}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the reduction and the finish, on the first lane."""
        if job.lane:
            return
        node, x, n = job.operation.node, job.x[0].inner, job.y.n
        shape = job.y.inner.shape
        result = job.work("product")[: n * node.shape[0]]
        channels_last = self.layout is CHANNELS_LAST
        flat = result.reshape((n, -1) if channels_last else (-1, n))
        if node.layer.takes_maximum:
            yield partial(np.maximum.reduce, x, axis=(1, 2) if channels_last else (0, 2), out=flat)
        else:
            yield partial(np.einsum, "nhwc->nc" if channels_last else "hcwn->cn", x, out=flat)
            yield partial(np.multiply, flat, 1 / math.prod(node.in_shapes[0][1:]), out=flat)
        axis = self.channel_axis if len(node.shape) == 3 else (-1 if channels_last else -2)
        yield from job.finish(result.reshape(shape), lambda y: y, job.work("spare"), channel_axis=axis)


class WeightedSums(InLayout):
    """Sums along each axis with given weights, as two matrix products: adaptive pooling, bilinear upsampling."""

    name = "weighted sums"

    def applies(self, operation: Operation) -> bool:
        """Whether there are weights for the layer."""
        return len(operation.node.in_shapes[0]) == 3 and sums_of(operation.node) is not None and operation.pool is None

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the two products."""
        node = operation.node
        (c, h, w), (_, oh, ow) = node.in_shapes[0], node.shape
        return 10 * CALL + n * c * (oh * h * w + oh * w * ow) / 10e9 + stages_cost(operation, n * c * oh * ow) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the image, the rows after the first product, the result, and memory for the stages."""
        (c, h, w), (_, oh, ow) = operation.node.in_shapes[0], operation.node.shape
        return {"image": n * c * h * w, "rows": n * c * oh * w, "product": n * c * oh * ow, "spare": n * c * oh * ow}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the products and the finish, on the first lane."""
        if job.lane:
            return
        node, x, n = job.operation.node, job.x[0].inner, job.y.n
        (c, h, w), (_, oh, ow) = node.in_shapes[0], node.shape
        sums = sums_of(node)
        assert sums is not None
        rows, columns = (matrix.astype(x.dtype) for matrix in sums)
        if not x.flags.c_contiguous:
            image = job.work("image")[: x.size].reshape(x.shape)
            yield partial(np.copyto, image, x)
            x = image
        between = job.work("rows")[: n * c * oh * w].reshape(self.image(n, oh, w, c))
        result = job.work("product")[: n * c * oh * ow].reshape(self.image(n, oh, ow, c))
        # The axis of the rows comes first, or behind the samples: what is behind it is one.
        front = (n,) if self.layout is CHANNELS_LAST else ()
        yield partial(np.matmul, rows, x.reshape(*front, h, -1), out=between.reshape(*front, oh, -1))
        yield partial(np.matmul, columns, between, out=result)
        yield from job.finish(result, lambda y: y, job.work("spare"), channel_axis=self.channel_axis)


def sums_of(node: Any) -> tuple[Array, Array] | None:
    """Return the weights [oh, h] and [ow, w] of a layer that takes sums along each axis; None for any other."""
    sizes = node.in_shapes[0][1:]
    if node.kind == "adaptive_avg_pool":
        found = []
        for n, window in zip(sizes, node.windows, strict=True):
            matrix = np.zeros((window.out, n))
            for row, (begin, end) in zip(matrix, window.bounds, strict=True):
                row[begin:end] = 1 / (end - begin)
            found.append(matrix)
        return found[0], found[1]
    if node.kind == "upsample" and node.layer.mode == "bilinear":
        from cnnspec_numpy.kernels.shape import interpolation

        rows, columns = (
            interpolation(n, s, np.dtype(float)) for n, s in zip(sizes, node.layer.scales(node.shape), strict=True)
        )
        return rows, columns
    return None
