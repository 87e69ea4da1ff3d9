"""Pooling in training, with the batch last.

A gradient goes to the first of the largest elements of its window, row by row. Which that is, is told by the sign bit
of (element − maximum), spread over a whole integer: a mask for the bits of dy, which costs far less than an index.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import halves, slides
from cnnspec_numpy.plan.methods.pool import along, counts_of, sums_of
from cnnspec_numpy.training.calls import channel_sums, keep_where_negative, put, taps_inside
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class HalvingMaxPool(Operation):
    """The maximum of 2×2 windows: of two columns, and then of two rows.

    It adds the bias of a convolution before it, having fewer elements. Exact: max(a + b, c + b) = max(a, c) + b for
    each channel, and each dy goes to one element of its window, so that the bias has the same gradient.
    """

    keeps_input = True
    bias: str | None = None
    """The array of the bias that it adds."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the windows are 2×2 and move by 2."""
        return halves(node)

    def _half(self, n: int) -> tuple[int, int, int, int]:
        c, h, w = self.node.shape
        return 2 * h, c, w, n

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the maxima of two columns."""
        return {"columns": self._half(n)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for masks and for the gradient of the maxima of two columns."""
        size = math.prod(self._half(n))
        return {"mask": size, "dcolumns": size, "sums": self.node.shape[0] * self.node.shape[1]}

    def _columns(self, x: Array) -> tuple[Array, Array]:
        _, h, w = self.node.shape
        return x[: 2 * h, :, 0 : 2 * w : 2], x[: 2 * h, :, 1 : 2 * w : 2]

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield two maxima, and the bias."""
        columns = job.kept["columns"]
        yield partial(np.maximum, *self._columns(job.x[0].inner), out=columns)
        y = job.y.inner
        yield partial(np.maximum, columns[0::2], columns[1::2], out=y)
        if self.bias is not None:
            yield partial(np.add, y, job.weights["bias"][:, None, None], out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield dy to the first row of the largest, and then to the first column."""
        assert job.dy is not None
        dy = job.dy.inner
        if self.bias is not None:
            yield from channel_sums(dy, job.gradients["bias"], job.work("sums"), job.constants)
        if job.dx[0] is None:
            return
        columns, dx = job.kept["columns"], job.dx[0].inner
        work = job.work("mask")[: columns.size]
        dcolumns = job.work("dcolumns")[: columns.size].reshape(columns.shape)
        half = work[: columns.size // 2].reshape(job.y.inner.shape)
        yield from _divide(columns[0::2], columns[1::2], dy, dcolumns[0::2], dcolumns[1::2], half)
        (first, second), mask = self._columns(job.x[0].inner), work.reshape(columns.shape)
        if job.adds[0]:
            # Into the memory of the maxima, which have been used.
            part = columns
            yield from _choose(first, second, dcolumns, part, mask)
            dfirst, dsecond = self._columns(dx)
            yield partial(np.add, dsecond, part, out=dsecond)
            yield partial(np.subtract, dcolumns, part, out=part)
            yield partial(np.add, dfirst, part, out=dfirst)
            return
        yield from _divide(first, second, dcolumns, *self._columns(dx), mask)
        _, h, w = self.node.shape
        for rest in (dx[2 * h :], dx[:, :, 2 * w :]):
            if rest.size:
                yield partial(rest.fill, 0)


def _choose(a: Array, b: Array, d: Array, db: Array, mask: Array) -> Iterator[Call]:
    """Yield db = d where a < b, and 0 elsewhere."""
    yield partial(np.subtract, a, b, out=mask)
    yield from keep_where_negative(mask, d, db)


def _divide(a: Array, b: Array, d: Array, da: Array, db: Array, mask: Array) -> Iterator[Call]:
    """Yield da = d where a ≥ b and db = d where a < b, and 0 elsewhere."""
    yield from _choose(a, b, d, db, mask)
    yield partial(np.subtract, d, db, out=da)


class MaxPool(Operation):
    """The maximum of windows of any size."""

    keeps_input = True
    keeps_output = True

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the windows have two axes, and no gaps."""
        return slides(node)

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the rows of the forward pass, and for masks and what is left of dy."""
        c, oh, ow = self.node.shape
        size = c * oh * ow * n
        rows = c * oh * self.node.in_shapes[0][2] * n
        return {"rows": rows, "left": size, "mask": size, "share": size}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the maxima along the rows, then along the columns."""
        h, w = self.node.windows
        c, height, width = self.node.in_shapes[0]
        rows = job.work("rows").reshape(h.out, c, width, job.n)
        yield from along(np.maximum, job.x[0].inner, rows, 0, h, height, -math.inf)
        yield from along(np.maximum, rows, job.y.inner, 2, w, width, -math.inf)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield, for each tap in order, the part of dy whose maximum it is."""
        if job.dx[0] is None or job.dy is None:
            return
        x, y, dx = job.x[0].inner, job.y.inner, job.dx[0].inner
        left, mask, share = (job.work(key).reshape(y.shape) for key in ("left", "mask", "share"))
        yield partial(np.copyto, left, job.dy.inner)
        if not job.adds[0]:
            yield partial(dx.fill, 0)
        for tap in taps_inside(self.node.windows, self.node.in_shapes[0][1:]):
            at, place = tap.at, dx[tap.under]
            yield partial(np.subtract, x[tap.under], y[at], out=mask[at])
            # What stays, as its element is not the largest.
            yield from keep_where_negative(mask[at], left[at], mask[at])
            yield partial(np.subtract, left[at], mask[at], out=share[at])
            yield partial(np.add, place, share[at], out=place)
            yield partial(np.copyto, left[at], mask[at])


class AvgPool(Operation):
    """The mean of windows of any size."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the windows have two axes, and no gaps."""
        return slides(node)

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the rows of the forward pass, and for a window's part of dy."""
        c, oh, ow = self.node.shape
        return {"rows": c * oh * self.node.in_shapes[0][2] * n, "share": c * oh * ow * n}

    def _factor(self, dtype: Any) -> Array:
        layer: Any = self.node.layer
        return (1 / counts_of(self.node, layer.count_padding)).astype(dtype)[:, None, :, None]

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the sums along the rows, then along the columns, and the division."""
        h, w = self.node.windows
        c, height, width = self.node.in_shapes[0]
        y = job.y.inner
        rows = job.work("rows").reshape(h.out, c, width, job.n)
        yield from along(np.add, job.x[0].inner, rows, 0, h, height, 0.0)
        yield from along(np.add, rows, y, 2, w, width, 0.0)
        yield partial(np.multiply, y, self._factor(y.dtype), out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a window's part of dy, added to each of its elements."""
        if job.dx[0] is None or job.dy is None:
            return
        dy, dx = job.dy.inner, job.dx[0].inner
        share = job.work("share").reshape(dy.shape)
        yield partial(np.multiply, dy, self._factor(dy.dtype), out=share)
        if not job.adds[0]:
            yield partial(dx.fill, 0)
        for tap in taps_inside(self.node.windows, self.node.in_shapes[0][1:]):
            place = dx[tap.under]
            yield partial(np.add, place, share[tap.at], out=place)


class GlobalAvgPool(Operation):
    """The mean of each channel, as a vector or as an image of one element."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the input is an image, and the windows (of adaptive pooling) are one."""
        return len(node.in_shapes[0]) == 3 and all(w.out == 1 for w in node.windows)

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the part of each element."""
        return {"share": self.node.shape[0] * n}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the sum and the division."""
        y = job.y.inner.reshape(self.node.shape[0], job.n)
        yield partial(np.einsum, "hcwn->cn", job.x[0].inner, out=y)
        yield partial(np.multiply, y, 1 / math.prod(self.node.in_shapes[0][1:]), out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield each element's part."""
        if job.dx[0] is None or job.dy is None:
            return
        c = self.node.shape[0]
        share = job.work("share").reshape(c, job.n)
        yield partial(np.multiply, job.dy.inner.reshape(c, job.n), 1 / math.prod(self.node.in_shapes[0][1:]), out=share)
        yield put(share[:, None, :], job.dx[0].inner, job.adds[0])


class WeightedSums(Operation):
    """Sums along each axis with given weights, as two matrix products: adaptive pooling, bilinear upsampling."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether there are weights for the layer."""
        return len(node.in_shapes[0]) == 3 and sums_of(node) is not None

    def workspace(self, n: int) -> dict[str, int]:
        """Return an image in one piece, and its rows after the first product."""
        (c, h, w), (_, oh, ow) = self.node.in_shapes[0], self.node.shape
        return {"image": max(h * w, oh * ow) * c * n, "between": max(oh * w, h * ow) * c * n}

    def _calls(self, job: Job, x: Array, rows: Array, columns: Array, y: Array, adds: bool) -> Iterator[Call]:
        """Yield y [oh, c, ow, n] = the weights of rows [oh, h] and of columns [ow, w] times x [h, c, w, n]."""
        h, c, w, n = x.shape
        if not x.flags.c_contiguous:
            image = job.work("image")[: x.size].reshape(x.shape)
            yield partial(np.copyto, image, x)
            x = image
        between = job.work("between")[: len(rows) * c * w * n].reshape(len(rows), c, w, n)
        yield partial(np.matmul, rows, x.reshape(h, -1), out=between.reshape(len(rows), -1))
        result = job.work("image")[: y.size].reshape(y.shape)
        yield partial(np.matmul, columns, between, out=result)
        yield put(result, y, adds)

    def _weights(self, x: Array) -> tuple[Array, Array]:
        found = sums_of(self.node)
        assert found is not None
        return found[0].astype(x.dtype), found[1].astype(x.dtype)

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the products."""
        x = job.x[0].inner
        yield from self._calls(job, x, *self._weights(x), job.y.inner, False)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the products with the transposed weights."""
        if job.dx[0] is None or job.dy is None:
            return
        dy = job.dy.inner
        rows, columns = self._weights(dy)
        yield from self._calls(job, dy, rows.T, columns.T, job.dx[0].inner, job.adds[0])
