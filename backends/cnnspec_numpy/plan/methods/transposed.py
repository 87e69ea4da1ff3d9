"""Transposed convolution with the channels last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Job
from cnnspec_numpy.plan.methods.whole import OverOutput
from cnnspec_numpy.plan.value import CHANNELS_LAST


class Transposed(OverOutput):
    """Transposed convolution: one product, and each tap of it added to its place."""

    name = "product and taps"
    passes = 12.0

    def applies(self, operation: Operation) -> bool:
        """Whether the windows have two axes and the channels are one group, with the channels last."""
        node = operation.node
        groups: int = node.layer.groups  # type: ignore[attr-defined]
        return self.layout is CHANNELS_LAST and len(node.windows) == 2 and groups == 1

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
        (c, h, w), o = node.in_shapes[0], node.shape[0]
        sizes, taps, positions = self._sizes(job.operation)
        wh, ww = node.windows
        if not x.flags.c_contiguous:
            image = job.work("image")[: x.size].reshape(x.shape)
            yield partial(np.copyto, image, x)
            x = image
        weights = job.prepared(
            "transposed", lambda read: read("weight").transpose(0, 2, 3, 1).reshape(c, -1)
        )  # [c, kh·kw·o]
        products = job.work("taps")[: n * positions * taps * o].reshape(n * positions, taps * o)
        yield partial(np.matmul, x.reshape(n * positions, c), weights, out=products)
        by_tap = products.reshape(n, h, w, wh.kernel, ww.kernel, o)
        padded = job.work("padded")[: n * math.prod(sizes) * o].reshape(n, *sizes, o)
        yield partial(padded.fill, 0)
        for i in range(wh.kernel):
            for j in range(ww.kernel):
                rows = slice(i * wh.dilation, i * wh.dilation + (h - 1) * wh.stride + 1, wh.stride)
                columns = slice(j * ww.dilation, j * ww.dilation + (w - 1) * ww.stride + 1, ww.stride)
                place = padded[:, rows, columns]
                yield partial(np.add, place, by_tap[:, :, :, i, j], out=place)
        inside = padded[:, wh.before : wh.before + wh.out, ww.before : ww.before + ww.out]
        yield partial(np.copyto, out, inside)
