"""Maps by products of matrices, on the slab of the image.

With y[r] = W · S[r], where S[r] are the columns under output row r (a view of the slab):

    dWᵀ = Σ_r S[r] · dy[r]ᵀ        dx = the correlation of dy with the kernel turned round, for a stride of 1

and for a larger stride, Wᵀ · dy[r] is added to the elements under each window.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.method import copy_cost, product_cost
from cnnspec_numpy.plan.products import REGISTER, is_small, times_columns
from cnnspec_numpy.plan.slabs import (
    image_as_slab,
    rows_as_matrices,
    rows_by_group,
    rows_under,
    shifted_rows,
    takes_rows,
    taps_by_row,
    under_windows,
)
from cnnspec_numpy.plan.value import Border, Value
from cnnspec_numpy.training.calls import put, taps_inside
from cnnspec_numpy.training.maps import Gather, Geometry, Map, Target, Work, most_rows

from cnnspec.arrays import Array


class Columns(Gather):
    """Products of the weights with the columns under the windows, rows by rows and block by block.

    Where the rows of a window are no neighbours, each output row has its own columns in the slab.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        h, w = geometry.windows
        self.o, self.c = geometry.o // geometry.groups, geometry.image[0] // geometry.groups
        self.in_row = self.c * w.kernel
        self.apart = h.dilation > 1 and h.kernel > 1
        self.step = h.kernel if self.apart else h.stride
        """Rows of the slab from one output row to the next."""
        several = () if geometry.groups > 1 else (2, 4)
        fitting = (rows for rows in several if h.out % rows == 0 and rows * self.o <= 64)
        self.together = min((1, *fitting), key=self._cost)
        self.k = self._height(self.together)
        row = geometry.run * (geometry.groups * self.in_row * self.step + geometry.o)
        self.blocks = geometry.blocks(row, self.together)

    def _height(self, rows: int) -> int:
        """Return how many numbers are under the windows of some rows at one column."""
        return (self.geometry.windows[0].kernel + (rows - 1) * self.step) * self.in_row

    def _cost(self, rows: int) -> float:
        count = self.geometry.windows[0].out // rows
        return product_cost(rows * self.o, self._height(rows), self.geometry.run, count)

    @property
    def cost(self) -> float:
        """The seconds of the slab and of the products."""
        rows, run = self.geometry.windows[0].out, self.geometry.run
        return self._cost(self.together) + copy_cost(rows * self.step * self.in_row * run, run)

    @property
    def weight_size(self) -> int:
        """The weights of all the rows of a product, each shifted by a step."""
        return self.geometry.groups * self.together * self.o * self.k

    def workspace(self) -> dict[str, int]:
        """Return slabs, products, and the gradient of the weight by rows."""
        geometry, rows = self.geometry, most_rows(self.blocks)
        h = geometry.windows[0]
        in_slab = rows * h.kernel if self.apart else rows_under(h, rows)
        weight = geometry.o * h.kernel * self.in_row
        return {
            "slab": in_slab * geometry.groups * self.in_row * geometry.run,
            "products": rows * geometry.o * geometry.run,
            "by row": rows * weight,
            "total": weight,
            "block": weight,
        }

    def _slab(self, image: Value, block: tuple[int, int], work: Array) -> tuple[Array, list[Call]]:
        """Return the slab of a block of output rows, and the calls that fill it."""
        geometry, (first, end) = self.geometry, block
        g, windows = geometry.groups, geometry.windows
        if g == 1 and not self.apart:
            found = image_as_slab(image.full, image.border, windows, first, end - first)
            if found is not None:
                return found, []
        if self.apart:
            rows = taps_by_row(image.full, image.border, windows, first, end - first)
            r, kh, _, kw, ow, n = rows.shape
            taps = rows.reshape(r, kh, g, self.c, kw, ow, n).transpose(2, 0, 1, 3, 4, 5, 6)
        else:
            taps = shifted_rows(image.full, image.border, windows, first, end - first, g)
        slab = work[: taps.size].reshape(g, -1, self.c, windows[1].kernel, geometry.run)
        return slab, [partial(np.copyto, slab.reshape(taps.shape), taps)]

    def _weights(self, weight: Array, memory: Array) -> tuple[Array, list[Call]]:
        """Return the weights as the products take them, and the calls that copy them."""
        g, o, c, kh, kw = weight.shape
        found = memory.reshape(g, self.together, o, self.k)
        calls: list[Call] = []
        for row in range(self.together):
            start = row * self.step * self.in_row
            place = found[:, row, :, start : start + kh * self.in_row].reshape(g, o, kh, c, kw)
            calls.append(partial(np.copyto, place, weight.transpose(0, 1, 3, 2, 4)))
        return found.reshape(g, 1, self.together * o, self.k), calls

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield slab, products and the way to the target for each block of rows."""
        g = self.geometry.groups
        weights, copies = self._weights(weight, memory)
        yield from copies
        for block in self.blocks:
            slab, copies = self._slab(source, block, work("slab"))
            yield from copies
            part = target.rows(*block)
            direct = takes_rows(part.array) and (self.together == 1 or part.array.flags.c_contiguous)
            result = part.result(direct, work("products"))
            columns = under_windows(slab, self.step, len(result), self.k, self.together)
            yield partial(np.matmul, weights, columns, out=rows_by_group(result, g, self.together))
            yield from part.finish(result)

    def gradient(self, image: Value, positions: Array, gradient: Array, work: Work) -> Iterator[Call]:
        """Yield the sum over output rows of S · dyᵀ, block by block."""
        g, o, c, kh, kw = gradient.shape
        k = kh * self.in_row
        total, block_sum = (work(key)[: g * k * o].reshape(g, k, o) for key in ("total", "block"))
        for first, end in self.blocks:
            slab, copies = self._slab(image, (first, end), work("slab"))
            yield from copies
            columns = under_windows(slab, self.step, end - first, k)
            transposed, copies = as_columns(positions[first:end], g, k, work("products"))
            yield from copies
            by_row = work("by row")[: (end - first) * g * k * o].reshape(g, end - first, k, o)
            # dWᵀ: BLAS is nearly twice as fast with the smaller matrix as the second.
            yield partial(np.matmul, columns, transposed, out=by_row)
            yield partial(np.add.reduce, by_row, axis=1, out=block_sum if first else total)
            if first:
                yield partial(np.add, total, block_sum, out=total)
        yield partial(np.copyto, gradient.transpose(0, 3, 2, 4, 1), total.reshape(g, kh, c, kw, o))


class Rows(Map):
    """From the image to the positions, for windows that move by one column: products of whole rows, then shifted sums.

    With P[r] = W · X[r], where X[r] are the kh rows of the image under output row r (a view) and W has kw·o rows, one o
    for each column of the window, y[r, x] is the sum of P[r, j] at column x + j. Nothing of the image is copied, and a
    column of its padding takes no product, so that it is a gradient's way back through a window without padding.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.height = geometry.windows[0].kernel * geometry.image[0]
        self.width = geometry.windows[1].kernel * geometry.o
        self.run = geometry.image[2] * geometry.n
        self.blocks = geometry.blocks(self.run * (geometry.image[0] + self.width + geometry.o))

    @staticmethod
    def applies(geometry: Geometry) -> bool:
        """Whether the windows move by one column, over rows that are neighbours, and read all channels."""
        h, w = geometry.windows
        return geometry.groups == 1 and w.stride == 1 and (h.dilation == 1 or h.kernel == 1)

    @property
    def cost(self) -> float:
        """The seconds of the products, and of adding them up."""
        geometry = self.geometry
        rows = geometry.windows[0].out
        return product_cost(self.width, self.height, self.run, rows) + copy_cost(rows * self.width * self.run, self.run)

    @property
    def border(self) -> Border:
        """The padding of the rows alone."""
        return self.geometry.border._replace(left=0, right=0)

    @property
    def weight_size(self) -> int:
        """The weights, by columns of the window."""
        return self.width * self.height

    def workspace(self) -> dict[str, int]:
        """Return the products of a block."""
        return {"products": most_rows(self.blocks) * self.width * self.run}

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield products, and a sum for each column of the window, for each block of rows."""
        _, o, c, kh, kw = weight.shape
        h, w = self.geometry.windows
        columns, n = self.geometry.image[2], self.geometry.n
        weights = memory.reshape(kw, o, kh, c)
        yield partial(np.copyto, weights, weight[0].transpose(3, 0, 2, 1))
        taps = [(j, *w.inside(j, columns)) for j in range(kw)]
        whole = next((j for j, first, end in taps if (first, end) == (0, w.out)), None)
        for first, end in self.blocks:
            part = target.rows(first, end)
            rows = rows_as_matrices(source, h, first, end)
            products = work("products")[: len(rows) * self.width * self.run].reshape(len(rows), self.width, -1)
            yield times_columns(weights.reshape(self.width, self.height), rows, products)
            by_tap = products.reshape(-1, kw, o, columns, n)
            copied = None if part.adds or part.bias is not None else whole
            if copied is None:
                yield from part.begin()
            for j, x0, x1 in sorted(taps, key=lambda tap: tap[0] != copied):
                at = w.element(x0, j)
                place, found = part.array[:, :, x0:x1], by_tap[:, j, :, at : at + x1 - x0]
                if x0 < x1:
                    yield put(found, place, j != copied)


class Spread(Map):
    """From the positions to the image: the products of each position are added to the elements under its window."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.blocks = geometry.blocks(geometry.run * (geometry.taps * geometry.image[0] + geometry.o))

    @property
    def weight_size(self) -> int:
        """The weights, transposed."""
        return self.geometry.o * self.geometry.image[0] // self.geometry.groups * self.geometry.taps

    def workspace(self) -> dict[str, int]:
        """Return the products of a block, and its positions in one piece."""
        geometry, rows = self.geometry, most_rows(self.blocks)
        spread = rows * geometry.taps * geometry.image[0] * geometry.run
        return {"taps": spread, "products": rows * geometry.o * geometry.run}

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield products and additions for each block of rows."""
        geometry = self.geometry
        g, o, c, kh, kw = weight.shape
        ow, n = geometry.windows[1].out, geometry.n
        weights = memory.reshape(g, kh, kw, c, o)
        yield partial(np.copyto, weights, weight.transpose(0, 3, 4, 2, 1))
        yield from target.begin()
        for first, end in self.blocks:
            columns, copies = as_rows(source.inner[first:end], g, work("products"))
            yield from copies
            products = work("taps")[: (end - first) * g * c * kh * kw * ow * n].reshape(g, end - first, -1, ow * n)
            yield partial(np.matmul, weights.reshape(g, 1, -1, o), columns, out=products)
            by_tap = products.reshape(g, end - first, kh, kw, c, ow, n)
            for tap in taps_inside(geometry.windows, geometry.image[1:], first, end):
                place = target.array[tap.under]
                by_group = place.reshape(len(place), g, c, *place.shape[2:])
                rows, _, columns_of = tap.at
                part = by_tap[:, rows, tap.row, tap.column, :, columns_of].swapaxes(0, 1)
                yield partial(np.add, by_group, part, out=by_group)


def as_rows(positions: Array, groups: int, work: Array) -> tuple[Array, list[Call]]:
    """Return rows of positions [rows, o, ow, n] as matrices [g, rows, o/g, ow·n], and the calls that copy them."""
    if takes_rows(positions):
        return rows_by_group(positions, groups), []
    copied = work[: positions.size].reshape(positions.shape)
    return rows_by_group(copied, groups), [partial(np.copyto, copied, positions)]


def as_columns(positions: Array, groups: int, k: int, work: Array) -> tuple[Array, list[Call]]:
    """Return rows of positions [rows, o, ow, n] as matrices [g, rows, ow·n, o/g], and the calls that copy them.

    They are the second factor of a product with k rows. Where that is a small one, they are transposed in memory: BLAS
    copies nothing then.
    """
    rows, o, ow, n = positions.shape
    if o // groups < REGISTER or not is_small(k, ow * n, o // groups):
        matrices, copies = as_rows(positions, groups, work)
        return matrices.transpose(0, 1, 3, 2), copies
    found = work[: positions.size].reshape(groups, rows, ow, n, o // groups)
    by_group = positions.reshape(rows, groups, o // groups, ow, n).transpose(1, 0, 3, 4, 2)
    return found.reshape(groups, rows, ow * n, o // groups), [partial(np.copyto, found, by_group)]
