"""Convolution with the channels last: the elements under each window as a row, and one matrix product.

The rows are copied in runs of kernel width × channels (im2col; Chellapilla, Puri & Simard 2006), block by block, so
that a block's rows, its products and what is done to them stay in the cache. A 1×1 window needs no copy.
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
from cnnspec_numpy.plan.method import (
    CACHE,
    CALL,
    PASS,
    Block,
    Job,
    Method,
    Read,
    blocks_of,
    copy_cost,
    product_cost,
)
from cnnspec_numpy.plan.products import in_panels, panel_depth, panel_width, sum_of_products, times_panels
from cnnspec_numpy.plan.value import CHANNELS_LAST, Border, Value, as_matrix

FEW = 96
"""Below so many positions, lanes share the output channels instead of the rows."""
LARGEST = 4 * CACHE
"""Numbers that a block may take where its weights take as many."""


def border_of_windows(node: Node, rows: int = 0, columns: int = 0) -> Border:
    """Return the padding of a node's windows, with more rows and columns behind it."""
    h, w = node.windows
    return Border(max(h.before, 0), max(h.after + rows, 0), max(w.before, 0), max(w.after + columns, 0))


def correlation_weight(node: Node, weight: Array) -> Array:
    """Return a convolution's weight [o, c/g, kh, kw] as cross-correlation takes it."""
    return np.flip(weight, (2, 3)) if getattr(node.layer, "flip", False) else weight


def groups_of(node: Node) -> int:
    """Return the groups of a convolution."""
    groups: int = node.layer.groups  # type: ignore[attr-defined]
    return groups


class Columns(Method):
    """Rows of the elements under each window, times the weights."""

    name = "columns"
    layout = CHANNELS_LAST

    def applies(self, operation: Operation) -> bool:
        """Whether the windows have two axes."""
        return len(operation.node.windows) == 2

    def border(self, operation: Operation) -> Border:
        """Return the padding."""
        return border_of_windows(operation.node)

    def _sizes(self, operation: Operation) -> tuple[int, int, int, int, int]:
        """Return the groups, the length of a row, the channels and the positions along each axis."""
        node = operation.node
        groups = groups_of(node)
        k = math.prod(w.kernel for w in node.windows) * node.in_shapes[0][0] // groups
        return groups, k, *node.shape  # type: ignore[return-value]

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the copies, the product and the stages."""
        groups, k, o, oh, ow = self._sizes(operation)
        positions = n * oh * ow
        w = operation.node.windows[1]
        run = w.kernel * operation.node.in_shapes[0][0] if w.dilation == 1 and groups == 1 else k // w.kernel
        gather = 0.0 if _is_pointwise(operation.node) else copy_cost(positions * k * groups, run)
        blocks = max(1, positions * (k * groups + 2 * o) // max(CACHE, min(k * o, LARGEST)))
        rows = positions // blocks
        product = product_cost(rows, k, o // groups, blocks * groups)
        grouped = 2 * positions * o * PASS if groups > 1 else 0.0
        return gather + product + grouped + blocks * 3 * CALL + stages_cost(operation, positions * o) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the rows, the products, and memory for the stages."""
        groups, k, o, _, ow = self._sizes(operation)
        positions = max(((b.n1 - b.n0) * (b.r1 - b.r0) * ow for b in self._blocks(operation, n, lanes)), default=0)
        depth, _ = self._panel(operation, n, lanes)
        parts = k // depth * positions * o if depth < k else 0
        found = {"columns": positions * k * groups, "product": positions * o, "spare": positions * o, "parts": parts}
        return found | ({"grouped": positions * o} if groups > 1 else {})

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block]:
        groups, k, o, oh, ow = self._sizes(operation)
        lanes = 1 if self._shares_channels(operation, n, lanes) else lanes
        # A block that is smaller than the weights takes less time to leave the cache than they take to be read again.
        most = max(CACHE, min(k * o, LARGEST))
        return blocks_of(n, oh, most // (ow * (k * groups + 2 * o)), lanes, even=operation.pool is not None)

    def _shares_channels(self, operation: Operation, n: int, lanes: int) -> bool:
        groups, _, o, oh, ow = self._sizes(operation)
        return lanes > 1 and groups == 1 and n * oh * ow < FEW * lanes and o % lanes == 0

    def _panel(self, operation: Operation, n: int, lanes: int) -> tuple[int, int]:
        """Return how much of a row, and how many output channels, a product takes at a time."""
        groups, k, o, oh, ow = self._sizes(operation)
        if groups > 1:
            return k, o // groups
        share = o // lanes if self._shares_channels(operation, n, lanes) else o
        depth = panel_depth(n * oh * ow, k, share)
        return depth, panel_width(n * oh * ow, depth, share)

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield gather, product and finish for each block."""
        operation, n, x = job.operation, job.y.n, job.x[0]
        node = operation.node
        groups, k, o, _, ow = self._sizes(operation)
        shares = self._shares_channels(operation, n, job.lanes)
        blocks, (first, end) = job.divided(self._blocks(operation, n, job.lanes), o, shares)

        def weight(read: Read) -> Array:
            w = correlation_weight(node, read("weight"))
            by_group = w.reshape(groups, o // groups, *w.shape[1:])
            return by_group.transpose(0, 3, 4, 2, 1).reshape(groups, k, o // groups)

        depth, width = self._panel(operation, n, job.lanes)
        panels = job.prepared(
            f"columns in panels of {depth}×{width}",
            lambda read: in_panels(weight(read).reshape(-1, depth, o // groups), width),
        )
        for block in blocks:
            samples, rows = block.n1 - block.n0, block.r1 - block.r0
            shape = (samples, rows, ow, end - first)
            view = job.view(block, (first, end))
            place = view(job.y.inner)
            target = as_matrix(place, 3) if operation.pool is None else None
            positions = samples * rows * ow
            if target is None:
                target = job.work("product")[: positions * (end - first)].reshape(positions, end - first)
            matrix = _matrix(x, node, block)
            if matrix is None:
                taps = windows_of(x, node, block, groups)
                columns = job.work("columns")[: taps.size].reshape(taps.shape)
                yield partial(np.copyto, columns, taps)
                matrix = columns.reshape(groups, positions, k)
            if groups == 1:
                panel = panels[:, first // width : end // width]
                yield from sum_of_products(matrix.reshape(positions, k), panel, job.work("parts"), target)
            else:
                products = job.work("grouped")[: positions * o].reshape(groups, positions, o // groups)
                yield times_panels(matrix, panels, products)
                together = target.reshape(positions, groups, o // groups)
                yield partial(np.copyto, together, products.transpose(1, 0, 2))
            result = place if np.may_share_memory(target, job.y.full) else target.reshape(shape)
            yield from job.finish(result, view, job.work("spare"), channel_axis=-1, channels=(first, end))


def windows_of(x: Value, node: Node, block: Block, groups: int = 1) -> Array:
    """Return the elements under the windows of a block as a view: [g, n, rows, ow, kh, kw, c/g]."""
    h, w = node.windows
    full = x.full
    top = x.border.top - h.before + block.r0 * h.stride
    start = full[block.n0 :, top:, x.border.left - w.before :]
    sn, sh, sw, sc = full.strides
    c = full.shape[3] // groups
    shape = (groups, block.n1 - block.n0, block.r1 - block.r0, w.out, h.kernel, w.kernel, c)
    strides = (c * sc, sn, sh * h.stride, sw * w.stride, sh * h.dilation, sw * w.dilation, sc)
    return as_strided(start, shape, strides, writeable=False)


def _matrix(x: Value, node: Node, block: Block) -> Array | None:
    """Return the image of a 1×1 window as a matrix [positions, c], where it is one already."""
    if not _is_pointwise(node):
        return None
    return as_matrix(x.inner[block.n0 : block.n1, block.r0 : block.r1], 3)


def _is_pointwise(node: Node) -> bool:
    return groups_of(node) == 1 and all((w.kernel, w.stride, w.before, w.after) == (1, 1, 0, 0) for w in node.windows)


class Depthwise(Method):
    """A window for each channel by itself: one sum over the taps, by rows of columns × channels."""

    name = "depthwise"
    layout = CHANNELS_LAST
    tile = 1024
    """Numbers of a row that one call covers: the weights of all taps for them stay in the first-level cache."""

    def applies(self, operation: Operation) -> bool:
        """Whether each output channel has an input channel of its own."""
        return len(operation.node.windows) == 2 and is_depthwise(operation.node)

    def border(self, operation: Operation) -> Border:
        """Return the padding."""
        return border_of_windows(operation.node)

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate a pass for each tap, and the stages."""
        node = operation.node
        c, oh, ow = node.shape
        size, taps = n * c * oh * ow, math.prod(w.kernel for w in node.windows)
        run = self._columns(node) * c if node.windows[1].stride == 1 else c
        return 10 * CALL + size * taps * PASS + size / run * taps * 5e-9 + stages_cost(operation, size) * PASS

    def _columns(self, node: Node) -> int:
        c, _, ow = node.shape
        pieces = max(1, round(c * ow / self.tile))
        return max(1, -(-ow // min(ow, pieces)))

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block]:
        c, oh, ow = operation.node.shape
        return blocks_of(n, oh, CACHE // (4 * c * ow), lanes, even=operation.pool is not None)

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return a block of products, and memory for the stages."""
        c, _, ow = operation.node.shape
        size = max((b.n1 - b.n0) * (b.r1 - b.r0) * ow * c for b in self._blocks(operation, n, lanes))
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the sums and the finish for each block."""
        operation, node, x = job.operation, job.operation.node, job.x[0]
        c, _, ow = node.shape
        stretch = self._columns(node) if node.windows[1].stride == 1 and x.full.strides[2] == c * x.full.itemsize else 1

        def weight(read: Read) -> Array:
            taps = correlation_weight(node, read("weight"))[:, 0].transpose(1, 2, 0)
            return np.tile(taps, (1, 1, stretch))

        weights = job.prepared(f"depthwise {stretch}", weight)
        for block in job.share(self._blocks(operation, job.y.n, job.lanes)):
            samples, rows = block.n1 - block.n0, block.r1 - block.r0
            size = samples * rows * ow * c
            target = job.work("product")[:size].reshape(samples, rows, ow, c)
            taps = windows_of(x, node, block)[0]
            if stretch == 1:
                yield partial(np.einsum, "nhwijc,ijc->nhwc", taps, weights, out=target)
            else:
                for first in range(0, ow, stretch):
                    count = min(stretch, ow - first)
                    # Neighbouring columns follow each other, in the image as in the result.
                    under = taps[:, :, first]
                    s = under.strides
                    part = as_strided(under, (*under.shape[:4], count * c), (*s[:4], x.full.itemsize), writeable=False)
                    place = target[:, :, first]
                    into = as_strided(place, (samples, rows, count * c), (*target.strides[:2], target.itemsize))
                    yield partial(np.einsum, "nhijk,ijk->nhk", part, weights[:, :, : count * c], out=into)
            yield from job.finish(target, job.view(block), job.work("spare"), channel_axis=-1)


def is_depthwise(node: Node) -> bool:
    """Whether a convolution gives each channel a window of its own."""
    groups = groups_of(node)
    return groups == node.in_shapes[0][0] == node.shape[0] and groups > 1
