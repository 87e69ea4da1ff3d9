"""Convolution in training, on the slab of the image and on that of dy.

With y[r] = W · S[r], where S[r] are the columns under output row r (a view of the slab):

    dWᵀ = Σ_r S[r] · dy[r]ᵀ        dx = the convolution of dy with the kernel turned round, for a stride of 1

and for a larger stride, Wᵀ · dy[r] is added to the rows and columns under each window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from cnnspec_numpy.plan.finish import Constants
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.method import CACHE, product_cost
from cnnspec_numpy.plan.methods.columns import border_of_windows, correlation_weight, groups_of
from cnnspec_numpy.plan.slabs import (
    Windows,
    image_as_slab,
    rows_by_group,
    rows_under,
    shifted_rows,
    takes_rows,
    under_windows,
)
from cnnspec_numpy.plan.value import Border
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.layers.geometry import Window


class Correlation:
    """y = W · slab of x, for one group: rows by rows, block by block."""

    def __init__(self, windows: Windows, channels: int, outputs: int, n: int) -> None:
        self.windows = windows
        self.c, self.o, self.n = channels, outputs, n
        h, w = windows
        self.run = w.out * n
        self.in_row = channels * w.kernel
        self.together = min(
            (rows for rows in (1, 2, 4) if h.out % rows == 0 and (rows == 1 or rows * outputs <= 64)), key=self._cost
        )
        self.k = (h.kernel + (self.together - 1) * h.stride) * self.in_row
        most = CACHE // (self.run * (self.in_row * h.stride + outputs))
        most = max(self.together, most - most % self.together)
        count = -(-h.out // most)
        size = -(-h.out // count)
        size += -size % self.together
        self.blocks = [(r, min(r + size, h.out)) for r in range(0, h.out, size)]

    def _cost(self, rows: int) -> float:
        h = self.windows[0]
        k = (h.kernel + (rows - 1) * h.stride) * self.in_row
        return product_cost(rows * self.o, k, self.run, h.out // rows)

    @property
    def slab_size(self) -> int:
        """How many numbers the slab of a block has."""
        rows = max(end - first for first, end in self.blocks)
        return rows_under(self.windows[0], rows) * self.in_row * self.run

    @property
    def weight_size(self) -> int:
        """How many numbers the weights have, for all the rows of a product."""
        return self.together * self.o * self.k

    def slab(self, full: Array, border: Border, block: tuple[int, int], work: Array) -> tuple[Array, list[Call]]:
        """Return the slab of a block of output rows, and the calls that fill it."""
        first, end = block
        found = image_as_slab(full, border, self.windows, first, end - first)
        if found is not None:
            return found, []
        taps = shifted_rows(full, border, self.windows, first, end - first, 1)
        slab = work[: taps.size].reshape(*taps.shape[:4], self.run)
        return slab, [partial(np.copyto, slab.reshape(taps.shape), taps)]

    def weights(self, weight: Array, memory: Array) -> tuple[Array, list[Call]]:
        """Return the weight [o, c, kh, kw] as the products take it, in memory of zeros, and the calls that copy it."""
        h, w = self.windows
        found = memory.reshape(self.together, self.o, self.k)
        calls: list[Call] = []
        for row in range(self.together):
            start = row * h.stride * self.in_row
            place = found[row, :, start : start + h.kernel * self.in_row]
            by_tap = place.reshape(self.o, h.kernel, self.c, w.kernel)
            calls.append(partial(np.copyto, by_tap, weight.transpose(0, 2, 1, 3)))
        return found.reshape(1, 1, self.together * self.o, self.k), calls

    def products(self, weights: Array, slab: Array, y: Array) -> Call:
        """Return the call that writes the rows y [rows, o, ow, n] of a block."""
        columns = under_windows(slab, self.windows[0].stride, len(y), self.k, self.together)
        return partial(np.matmul, weights, columns, out=rows_by_group(y, 1, self.together))

    def takes(self, y: Array) -> bool:
        """Whether products can be written to rows [rows, o, ow, n] directly."""
        return takes_rows(y) and (self.together == 1 or y.flags.c_contiguous)


class Conv(Operation):
    """Convolution with one group; where a pool behind it has fewer elements, the bias is left to that."""

    keeps_input = True
    leaves_bias = False

    @staticmethod
    def applies(node: Node) -> bool:
        """Whether this computes the node."""
        if len(node.windows) != 2 or groups_of(node) != 1:
            return False
        h, w = node.windows
        turned = all(v.before < v.span and v.after < v.span for v in (h, w))
        return h.dilation == 1 and w.dilation == 1 and turned

    def border(self) -> Border:
        """Return the padding."""
        return border_of_windows(self.node)

    def _turned(self) -> Windows:
        """Return the windows of dx over dy, for a stride of 1."""
        return [
            Window(w.kernel, 1, 1, w.kernel - 1 - w.before, w.kernel - 1 - w.after, 0, n)
            for w, n in zip(self.node.windows, self.node.in_shapes[0][1:], strict=True)
        ]

    def _by_turning(self) -> bool:
        return all(w.stride == 1 for w in self.node.windows)

    def gradient_border(self) -> Border:
        """Return the padding of the turned windows."""
        if not self.needs_dx[0] or not self._by_turning():
            return Border()
        h, w = self._turned()
        return Border(h.before, h.after, w.before, w.after)

    def _forward(self, n: int) -> Correlation:
        return Correlation(self.node.windows, self.node.in_shapes[0][0], self.node.shape[0], n)

    def _backward(self, n: int) -> Correlation:
        return Correlation(self._turned(), self.node.shape[0], self.node.in_shapes[0][0], n)

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the weights as the products take them: what lies between them stays zero from step to step."""
        found: dict[str, tuple[int, ...]] = {"forward": (self._forward(n).weight_size,)}
        if self.needs_dx[0]:
            size = (
                self._backward(n).weight_size if self._by_turning() else math.prod(self.node.parameters["weight"].shape)
            )
            found["backward"] = (size,)
        return found

    def workspace(self, n: int) -> dict[str, int]:
        """Return slabs, products, and the gradient of the weight by rows."""
        forward, node = self._forward(n), self.node
        rows = max(end - first for first, end in forward.blocks)
        h, _ = node.windows
        o, c = node.shape[0], node.in_shapes[0][0]
        weight = o * h.kernel * forward.in_row
        found = {
            "slab": forward.slab_size,
            "products": rows * o * forward.run,
            "by row": (rows + 1) * weight,
            "block": weight,
            "sums": node.shape[1] * o,
        }
        if self.needs_dx[0] and self._by_turning():
            backward = self._backward(n)
            rows = max(end - first for first, end in backward.blocks)
            found["slab"] = max(found["slab"], backward.slab_size)
            found["products"] = max(found["products"], rows * c * backward.run)
        elif self.needs_dx[0]:
            found["spread"] = math.prod(self._spread_sizes()) * c * n
            found["taps"] = h.kernel * forward.in_row * forward.run
        return found

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield slab, products and bias for each block of rows."""
        node, x, y = self.node, job.x[0], job.y.inner
        correlation = self._forward(job.n)
        weights, copies = correlation.weights(correlation_weight(node, job.weights["weight"]), job.kept["forward"])
        yield from copies
        for block in correlation.blocks:
            slab, copies = correlation.slab(x.full, x.border, block, job.work("slab"))
            yield from copies
            place = y[block[0] : block[1]]
            result = place if correlation.takes(place) else job.work("products")[: place.size].reshape(place.shape)
            yield correlation.products(weights, slab, result)
            if "bias" in job.weights and not self.leaves_bias:
                yield partial(np.add, result, job.weights["bias"][:, None, None], out=place)
            elif result is not place:
                yield partial(np.copyto, place, result)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the gradients of bias and weight, and dx."""
        assert job.dy is not None
        dy = job.dy.inner
        if "bias" in job.weights and not self.leaves_bias:
            yield from channel_sums(dy, job.gradients["bias"], job.work("sums"), job.constants)
        yield from self._weight_gradient(job, dy)
        if job.dx[0] is not None:
            yield from self._turn(job) if self._by_turning() else self._spread(job, dy)

    def _weight_gradient(self, job: Job, dy: Array) -> Iterator[Call]:
        node, x = self.node, job.x[0]
        correlation = self._forward(job.n)
        h, w = node.windows
        k = h.kernel * correlation.in_row
        o = correlation.o
        total = job.work("by row")[: o * k].reshape(k, o)
        rest = job.work("by row")[o * k :]
        for i, (first, end) in enumerate(correlation.blocks):
            slab, copies = correlation.slab(x.full, x.border, (first, end), job.work("slab"))
            yield from copies
            columns = under_windows(slab, h.stride, end - first, k)[0]
            rows = rows_by_group(dy[first:end], 1)[0]
            if not takes_rows(dy):
                product = job.work("products")[: rows.size].reshape(rows.shape)
                yield partial(np.copyto, product.reshape(dy[first:end].shape), dy[first:end])
                rows = product
            by_row = rest[: (end - first) * o * k].reshape(end - first, k, o)
            # dWᵀ: BLAS is nearly twice as fast with the smaller matrix as the second.
            yield partial(np.matmul, columns, rows.transpose(0, 2, 1), out=by_row)
            if i == 0:
                yield partial(np.add.reduce, by_row, axis=0, out=total)
            else:
                block_sum = job.work("block")[: total.size].reshape(total.shape)
                yield partial(np.add.reduce, by_row, axis=0, out=block_sum)
                yield partial(np.add, total, block_sum, out=total)
        gradient = correlation_weight(node, job.gradients["weight"]).transpose(2, 1, 3, 0)
        yield partial(np.copyto, gradient, total.reshape(h.kernel, correlation.c, w.kernel, o))

    def _turn(self, job: Job) -> Iterator[Call]:
        assert job.dx[0] is not None
        assert job.dy is not None
        dx, dy = job.dx[0].inner, job.dy
        correlation = self._backward(job.n)
        turned = np.flip(correlation_weight(self.node, job.weights["weight"]), (2, 3)).transpose(1, 0, 2, 3)
        weights, copies = correlation.weights(turned, job.kept["backward"])
        yield from copies
        for block in correlation.blocks:
            slab, copies = correlation.slab(dy.full, dy.border, block, job.work("slab"))
            yield from copies
            place = dx[block[0] : block[1]]
            direct = correlation.takes(place) and not job.adds[0]
            result = place if direct else job.work("products")[: place.size].reshape(place.shape)
            yield correlation.products(weights, slab, result)
            if not direct:
                yield put(result, place, job.adds[0])

    def _spread_sizes(self) -> list[int]:
        """Return the rows and columns of the padded image that the windows reach."""
        sizes = zip(self.node.in_shapes[0][1:], self.node.windows, strict=True)
        return [max(n + w.before + max(0, w.after), rows_under(w, w.out)) for n, w in sizes]

    def _spread(self, job: Job, dy: Array) -> Iterator[Call]:
        assert job.dx[0] is not None
        node, dx, n = self.node, job.dx[0].inner, job.n
        h, w = node.windows
        (c, height, width), o = node.in_shapes[0], node.shape[0]
        weights = job.kept["backward"].reshape(o, h.kernel, w.kernel, c)
        yield partial(np.copyto, weights, correlation_weight(node, job.weights["weight"]).transpose(0, 2, 3, 1))
        sizes = self._spread_sizes()
        image = job.work("spread")[: math.prod(sizes) * c * n].reshape(sizes[0], c, sizes[1], n)
        yield partial(image.fill, 0)
        taps = job.work("taps")[: h.kernel * w.kernel * c * w.out * n].reshape(h.kernel, w.kernel, c, w.out, n)
        transposed = weights.reshape(o, -1).T
        for row in range(h.out):
            columns = dy[row].reshape(o, w.out * n)
            if not np.may_share_memory(columns, dy):
                columns = job.work("products")[: columns.size].reshape(columns.shape)
                yield partial(np.copyto, columns.reshape(dy[row].shape), dy[row])
            yield partial(np.matmul, transposed, columns, out=taps.reshape(-1, w.out * n))
            for i in range(h.kernel):
                for j in range(w.kernel):
                    under = image[row * h.stride + i, :, j : j + (w.out - 1) * w.stride + 1 : w.stride]
                    yield partial(np.add, under, taps[i, j], out=under)
        inside = image[h.before : h.before + height, :, w.before : w.before + width]
        yield put(inside, dx, job.adds[0])


def put(source: Array, place: Array, adds: bool) -> Call:
    """Return the call that adds an array to its place, or copies it there."""
    return partial(np.add, place, source, out=place) if adds else partial(np.copyto, place, source)


def channel_sums(dy: Array, out: Array, work: Array, constants: Constants) -> Iterator[Call]:
    """Yield the sums over rows, columns and samples of an image [h, c, w, n]: out [c]."""
    h, c, w, n = dy.shape
    if takes_rows(dy):
        ones, rows = constants.vector(1, w * n), work[: h * c].reshape(h, c)
        yield partial(np.matmul, rows_by_group(dy, 1)[0], ones, out=rows)
        yield partial(np.add.reduce, rows, axis=0, out=out)
    else:
        yield partial(np.einsum, "hcwn->c", dy, out=out)
