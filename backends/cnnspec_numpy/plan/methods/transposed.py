"""Transposed convolution with the channels last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Job, Read
from cnnspec_numpy.plan.methods.columns import groups_of
from cnnspec_numpy.plan.methods.whole import OverOutput


class Transposed(OverOutput):
    """Transposed convolution: one product for each group, and each tap of it added to its place."""

    name = "product and taps"
    passes = 12.0

    def applies(self, operation: Operation) -> bool:
        """Whether the windows have two axes."""
        return len(operation.node.windows) == 2

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the product and the taps."""
        node = operation.node
        return super().cost(operation, n) + 2 * n * node.layer.macs(node.in_shapes, node.shape) / 60e9

    def _sizes(self, operation: Operation) -> tuple[Sequence[int], int, int]:
        """Return the sizes of the output with its padding, the taps, and the positions of the input."""
        node = operation.node
        sizes = [w.before + w.out + max(0, w.after) for w in node.windows]
        reach = [(n - 1) * w.stride + w.span for n, w in zip(node.in_shapes[0][1:], node.windows, strict=True)]
        return list(map(max, sizes, reach)), math.prod(w.kernel for w in node.windows), math.prod(node.in_shapes[0][1:])

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the image in one piece, the products, and the output with its padding."""
        sizes, taps, positions = self._sizes(operation)
        c, o = operation.node.in_shapes[0][0], operation.node.shape[0]
        own = {"image": n * positions * c, "taps": n * positions * taps * o, "padded": n * math.prod(sizes) * o}
        return super().workspace(operation, n, lanes) | own

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the product and the additions."""
        node, n, x = job.operation.node, job.y.n, job.x[0].inner
        (c, h, w), o, g = node.in_shapes[0], node.shape[0], groups_of(node)
        sizes, taps, positions = self._sizes(job.operation)
        wh, ww = node.windows
        if not x.flags.c_contiguous:
            image = job.work("image")[: x.size].reshape(x.shape)
            yield partial(np.copyto, image, x)
            x = image

        def weight(read: Read) -> Array:
            by_group = read("weight").reshape(g, c // g, o // g, taps)
            return by_group.transpose(0, 1, 3, 2).reshape(g, c // g, -1)

        weights = job.prepared("transposed", weight)  # [g, c/g, kh·kw·o/g]
        matrices = x.reshape(n * positions, g, c // g).transpose(1, 0, 2)
        products = job.work("taps")[: n * positions * taps * o].reshape(g, n * positions, -1)
        yield partial(np.matmul, matrices, weights, out=products)
        # [n, h, w, kh, kw, g, o/g]
        by_tap = products.reshape(g, n, h, w, wh.kernel, ww.kernel, o // g).transpose(1, 2, 3, 4, 5, 0, 6)
        padded = job.work("padded")[: n * math.prod(sizes) * o].reshape(n, *sizes, o)
        yield partial(padded.fill, 0)
        for i in range(wh.kernel):
            for j in range(ww.kernel):
                rows = slice(i * wh.dilation, i * wh.dilation + (h - 1) * wh.stride + 1, wh.stride)
                columns = slice(j * ww.dilation, j * ww.dilation + (w - 1) * ww.stride + 1, ww.stride)
                place = padded[:, rows, columns].reshape(n, h, w, g, o // g)
                yield partial(np.add, place, by_tap[:, :, :, i, j], out=place)
        inside = padded[:, wh.before : wh.before + wh.out, ww.before : ww.before + ww.out]
        yield partial(np.copyto, out, inside)
