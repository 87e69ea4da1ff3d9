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

from cnnspec_numpy.plan.finish import stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CACHE, CALL, PASS, Block, Job, Method, blocks_of, copy_cost, product_cost
from cnnspec_numpy.plan.methods.columns import border_of_windows, correlation_weight, groups_of, is_depthwise
from cnnspec_numpy.plan.slabs import (
    depthwise_rows,
    image_as_slab,
    is_slab,
    rows_by_group,
    rows_under,
    shifted_rows,
    slab_weight,
    takes_rows,
    under_windows,
)
from cnnspec_numpy.plan.value import BATCH_LAST, Border


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
        groups = groups_of(node)
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
        groups = groups_of(node)
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
        if not is_slab(node.windows, groups):
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
        return {
            "slab": rows_under(node.windows[0], rows) * groups * in_row * ow * n,
            "product": product,
            "spare": product,
        }

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield copies, products and finish for each block."""
        operation, node, x, n = job.operation, job.operation.node, job.x[0], job.y.n
        groups, k, _ = self._sizes(operation)
        o, _, ow = node.shape
        stride = node.windows[0].stride
        weights = job.prepared(
            str(self), lambda read: slab_weight(correlation_weight(node, read("weight")), groups, stride, self.rows)
        )
        for block in job.share(self._blocks(operation, n, job.lanes)):
            rows, view = block.r1 - block.r0, job.view(block)
            slab = image_as_slab(x.full, x.border, node.windows, block.r0, rows) if groups == 1 else None
            if slab is None:
                taps = shifted_rows(x.full, x.border, node.windows, block.r0, rows, groups)
                slab = job.work("slab")[: taps.size].reshape(*taps.shape[:4], ow * n)
                yield partial(np.copyto, slab.reshape(taps.shape), taps)
            place = view(job.y.inner)
            direct = operation.pool is None and takes_rows(place) and (self.rows == 1 or place.flags.c_contiguous)
            result = place if direct else job.work("product")[: rows * o * ow * n].reshape(rows, o, ow, n)
            yield partial(
                np.matmul,
                weights,
                under_windows(slab, stride, rows, k, self.rows),
                out=rows_by_group(result, groups, self.rows),
            )
            yield from job.finish(result, view, job.work("spare"), channel_axis=-3)


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
        c, _, ow = node.shape
        weights = job.prepared(
            "depthwise rows", lambda read: correlation_weight(node, read("weight"))[:, 0].transpose(1, 2, 0)
        )
        for block in job.share(self._blocks(operation, n, job.lanes)):
            rows = block.r1 - block.r0
            target = job.work("product")[: rows * c * ow * n].reshape(rows, c, ow, n)
            yield depthwise_rows(x, node.windows, block.r0, weights, target)
            yield from job.finish(target, job.view(block), job.work("spare"), channel_axis=-3)
