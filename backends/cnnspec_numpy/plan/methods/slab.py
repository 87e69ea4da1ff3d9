"""Convolution with the batch last: only the columns of the window are copied, its rows come for nothing.

The slab [h, c, kw, ow·n] holds, for each row of the image, the row shifted by each column of the window: kw copies in
runs of ow·n. The elements under all windows of output row y are then its rows y·s … y·s + kh, which lie one after the
other in memory, so that they are a matrix [kh·c·kw, ow·n] without a copy: a strided view with overlapping rows.

With few output channels, the product for several output rows is one: their weights, each shifted by one row of the
slab, stand below each other in one matrix, which BLAS computes faster although it holds zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec_numpy.plan.finish import stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CACHE, CALL, PASS, Block, Job, Method, blocks_of, copy_cost, product_cost
from cnnspec_numpy.plan.methods.columns import border_of_windows, correlation_weight, is_depthwise
from cnnspec_numpy.plan.value import BATCH_LAST, Border, Value


class Slab(Method):
    """Products of the weights with overlapping rows of the slab, for `rows` output rows at a time."""

    layout = BATCH_LAST

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __str__(self) -> str:
        return "slab" if self.rows == 1 else f"slab ×{self.rows} rows"

    def applies(self, operation: Operation) -> bool:
        """Whether the rows of the window are neighbours, and the output rows can be taken together."""
        node = operation.node
        if len(node.windows) != 2 or (node.windows[0].dilation != 1 and node.windows[0].kernel != 1):
            return False
        groups: int = node.layer.groups  # type: ignore[attr-defined]
        if self.rows == 1:
            return True
        o, oh, _ = node.shape
        oh -= oh % 2 if operation.pool is not None else 0
        return groups == 1 and oh % self.rows == 0 and o * self.rows <= 64

    def border(self, operation: Operation) -> Border:
        """Return the padding."""
        return border_of_windows(operation.node)

    def _sizes(self, operation: Operation) -> tuple[int, int, int]:
        """Return the groups, the length of a column, and the numbers of a row of the slab by position."""
        node = operation.node
        groups: int = node.layer.groups  # type: ignore[attr-defined]
        h, w = node.windows
        in_row = node.in_shapes[0][0] // groups * w.kernel
        return groups, (h.kernel + (self.rows - 1) * h.stride) * in_row, in_row

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the copies of the slab, the products and the stages."""
        node = operation.node
        groups, k, in_row = self._sizes(operation)
        o, oh, ow = node.shape
        size = o * oh * ow * n
        h, w = node.windows
        copies = 0.0
        if not is_slab(node):
            run = ow * n if w.stride == 1 else n
            copies = copy_cost(oh * h.stride * groups * in_row * ow * n, run)
        product = product_cost(o * self.rows // groups, k, ow * n, groups * oh // self.rows)
        blocks = len(self._blocks(operation, n, 1))
        return copies + product + blocks * 3 * CALL + stages_cost(operation, size) * PASS

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block]:
        node = operation.node
        groups, _, in_row = self._sizes(operation)
        o, oh, ow = node.shape
        row = ow * n * (groups * in_row * node.windows[0].stride + o)
        multiple = math.lcm(self.rows, 2 if operation.pool is not None else 1)
        oh -= oh % 2 if operation.pool is not None else 0
        found = blocks_of(1, oh // multiple, CACHE // (row * multiple), lanes)
        return [Block(0, n, b.r0 * multiple, b.r1 * multiple) for b in found]

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the slab of a block, its products, and memory for the stages."""
        node = operation.node
        groups, _, in_row = self._sizes(operation)
        o, _, ow = node.shape
        rows = max(b.r1 - b.r0 for b in self._blocks(operation, n, lanes))
        product = rows * o * ow * n
        return {"slab": rows_under(node, rows) * groups * in_row * ow * n, "product": product, "spare": product}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield copies, products and finish for each block."""
        operation, node, x, n = job.operation, job.operation.node, job.x[0], job.y.n
        groups, k, _ = self._sizes(operation)
        o, _, ow = node.shape
        weights = job.prepared(str(self), lambda read: slab_weight(node, read("weight"), self.rows))
        step = 2 if operation.pool is not None else 1
        for block in job.share(self._blocks(operation, n, job.lanes)):
            rows = block.r1 - block.r0

            def view(y: Array, block: Block = block) -> Array:
                return y[block.r0 // step : block.r1 // step]

            slab = self_slab(x, node, block.r0, rows)
            if slab is None:
                taps = shifted_rows(x, node, block.r0, rows, groups)
                slab = job.work("slab")[: taps.size].reshape(*taps.shape[:4], ow * n)
                yield partial(np.copyto, slab.reshape(taps.shape), taps)
            place = view(job.y.inner)
            direct = operation.pool is None and takes_rows(place) and (self.rows == 1 or place.flags.c_contiguous)
            result = place if direct else job.work("product")[: rows * o * ow * n].reshape(rows, o, ow, n)
            yield partial(
                np.matmul,
                weights,
                under_windows(slab, node, rows, k, self.rows),
                out=rows_by_group(result, groups, self.rows),
            )
            yield from job.finish(result, view, job.work("spare"), channel_axis=-3)


def rows_under(node: Node, rows: int) -> int:
    """Return how many rows of the image the windows of some rows of the output reach over."""
    h = node.windows[0]
    return (rows - 1) * h.stride + h.span


def slab_weight(node: Node, weight: Array, rows: int = 1) -> Array:
    """Return the weight [o, c/g, kh, kw] for columns of the slab: [g, 1, rows·o/g, K], shifted for each of the rows."""
    w = correlation_weight(node, weight)
    groups: int = node.layer.groups  # type: ignore[attr-defined]
    o, c, kh, kw = w.shape
    flat = w.reshape(groups, o // groups, c, kh, kw).transpose(0, 1, 3, 2, 4).reshape(groups, 1, o // groups, -1)
    if rows == 1:
        return flat
    stride, in_row = node.windows[0].stride, c * kw
    found = np.zeros((groups, 1, rows, o // groups, (kh + (rows - 1) * stride) * in_row), w.dtype)
    for row in range(rows):
        start = row * stride * in_row
        found[:, :, row, :, start : start + kh * in_row] = flat
    return found.reshape(groups, 1, rows * o // groups, -1)


def shifted_rows(x: Value, node: Node, first: int, rows: int, groups: int) -> Array:
    """Return the rows under some rows of the output, shifted by each column of the window: [g, h, c/g, kw, ow, n]."""
    h, w = node.windows
    top = x.border.top - h.before + first * h.stride
    start = x.full[top:, :, x.border.left - w.before :]
    sh, sc, sw, sn = x.full.strides
    c = x.full.shape[1] // groups
    shape = (groups, rows_under(node, rows), c, w.kernel, w.out, x.full.shape[3])
    return as_strided(start, shape, (c * sc, sh, sc, sw * w.dilation, sw * w.stride, sn), writeable=False)


def is_slab(node: Node) -> bool:
    """Whether the image is its own slab: the window has one column, which moves by 1, without padding."""
    groups: int = node.layer.groups  # type: ignore[attr-defined]
    w = node.windows[1]
    return groups == 1 and (w.kernel, w.stride, w.before, w.after) == (1, 1, 0, 0)


def self_slab(x: Value, node: Node, first: int, rows: int) -> Array | None:
    """Return the rows of the image that are the slab already, [1, h, c, 1, w·n]; None if they are not."""
    if not is_slab(node) or not takes_rows(x.full) or x.border.left or x.border.right:
        return None
    h = node.windows[0]
    top = x.border.top - h.before + first * h.stride
    part = x.full[top : top + rows_under(node, rows)]
    if part.strides[0] != part.strides[1] * part.shape[1]:
        return None  # rows of a range of channels do not follow each other
    return part.reshape(1, *part.shape[:2], 1, -1)


def takes_rows(x: Array) -> bool:
    """Whether the columns and samples of an image [h, c, w, n] are one run of neighbours."""
    return x.strides[3] == x.itemsize and x.strides[2] == x.itemsize * x.shape[3]


def under_windows(slab: Array, node: Node, rows: int, k: int, together: int = 1) -> Array:
    """Return the columns under the windows of output rows as a view of the slab: [g, rows / together, K, ow·n]."""
    sg, sh = slab.strides[:2]
    shape = (slab.shape[0], rows // together, k, slab.shape[4])
    strides = (sg, sh * node.windows[0].stride * together, slab.strides[3], slab.itemsize)
    return as_strided(slab, shape, strides, writeable=False)


def rows_by_group(y: Array, groups: int, together: int = 1) -> Array:
    """Return output rows [rows, o, ow, n] as matrices: [g, rows / together, together·o/g, ow·n]."""
    rows, o, ow, n = y.shape
    sh, so = y.strides[:2]
    shape = (groups, rows // together, together * o // groups, ow * n)
    return as_strided(y, shape, (o // groups * so, sh * together, so, y.itemsize))


class DepthwiseRows(Method):
    """A window for each channel by itself, with the batch last: one sum over the taps."""

    name = "depthwise"
    layout = BATCH_LAST

    def applies(self, operation: Operation) -> bool:
        """Whether each output channel has an input channel of its own."""
        return len(operation.node.windows) == 2 and is_depthwise(operation.node)

    def border(self, operation: Operation) -> Border:
        """Return the padding."""
        return border_of_windows(operation.node)

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate a pass for each tap, and the stages."""
        node = operation.node
        size, taps = n * math.prod(node.shape), math.prod(w.kernel for w in node.windows)
        run = node.shape[2] * n if node.windows[1].stride == 1 else n
        return 10 * CALL + size * taps * PASS + size / run * taps * 5e-9 + stages_cost(operation, size) * PASS

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block]:
        c, oh, ow = operation.node.shape
        return blocks_of(1, oh, CACHE // (4 * c * ow * n), lanes, even=operation.pool is not None)

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return a block of products, and memory for the stages."""
        c, _, ow = operation.node.shape
        size = max(b.r1 - b.r0 for b in self._blocks(operation, n, lanes)) * c * ow * n
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the sums and the finish for each block."""
        operation, node, x, n = job.operation, job.operation.node, job.x[0], job.y.n
        h, w = node.windows
        c, _, ow = node.shape
        weights = job.prepared(
            "depthwise rows", lambda read: correlation_weight(node, read("weight"))[:, 0].transpose(1, 2, 0)
        )
        step = 2 if operation.pool is not None else 1
        for block in job.share(self._blocks(operation, n, job.lanes)):
            rows = block.r1 - block.r0

            def view(y: Array, block: Block = block) -> Array:
                return y[block.r0 // step : block.r1 // step]

            start = x.full[x.border.top - h.before + block.r0 * h.stride :, :, x.border.left - w.before :]
            sh, sc, sw, sn = x.full.strides
            shape = (rows, h.kernel, c, w.kernel, ow, n)
            strides = (sh * h.stride, sh * h.dilation, sc, sw * w.dilation, sw * w.stride, sn)
            taps = as_strided(start, shape, strides, writeable=False)
            target = job.work("product")[: rows * c * ow * n].reshape(rows, c, ow, n)
            if w.stride == 1 and takes_rows(x.full):
                taps = as_strided(taps, (*shape[:4], ow * n), (*strides[:4], sn), writeable=False)
                yield partial(np.einsum, "hicjk,ijc->hck", taps, weights, out=target.reshape(rows, c, ow * n))
            else:
                yield partial(np.einsum, "hicjwn,ijc->hcwn", taps, weights, out=target)
            yield from job.finish(target, view, job.work("spare"), channel_axis=-3)
