"""3×3 convolution with fewer multiplications: Winograd's minimal filtering F(m×m, 3×3) (Lavin & Gray 2015).

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

for each tile d of (m + 2)×(m + 2) inputs, which makes m×m outputs. Summed over the channels, ⊙ is one matrix product
for each of the (m + 2)² elements; the two-sided products with B and A are one product with a Kronecker square, since
vec(Bᵀ d B) = (Bᵀ ⊗ Bᵀ) vec(d). F(2×2) takes 16 multiplications where the definition takes 36, and its matrices hold
0, ±1 and ±½, so that it rounds about as much as the definition; F(4×4) takes 36 for 144, with more rounding. There
two products, one for each side, take less time than one with the square.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.arrays import Array
from cnnspec_numpy.plan.finish import stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CALL, PASS, Block, Job, Method, Range, Read, blocks_of, copy_cost, product_cost
from cnnspec_numpy.plan.methods.columns import border_of_windows, correlation_weight
from cnnspec_numpy.plan.products import in_panels, panel_width, small_rows, times_columns, times_panels
from cnnspec_numpy.plan.value import BATCH_LAST, CHANNELS_LAST, Border, Layout

# Bᵀ, G and Aᵀ for m outputs, from the points 0, ±1 (and ±2) and ∞; the second point is 1, where all of Aᵀ is 1.
MATRICES: dict[int, tuple[list[list[float]], list[list[float]], list[list[float]]]] = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}

TILES = 1 << 18
"""Numbers that the transformed tiles and the products of a block may take together, if the weights take no more."""
FEW = 48
"""Below so many tiles, lanes share the output channels instead of the tiles."""


def transformed_weight(weight: Array, m: int) -> Array:
    """Return G g Gᵀ of each kernel: [o, c, 3, 3] -> [(m + 2)², o, c]."""
    g = np.array(MATRICES[m][1])
    o, c = weight.shape[:2]
    u: Array = np.kron(g, g) @ weight.reshape(o * c, 9).T
    return u.reshape(-1, o, c)


@cache
def matrices(m: int, dtype: Any) -> tuple[Array, Array]:
    """Return Bᵀ and Aᵀ; of F(2×2) their Kronecker squares, with which one product takes less time than two."""
    b, _, a = (np.array(matrix, dtype) for matrix in MATRICES[m])
    return (np.kron(b, b), np.kron(a, a)) if m == 2 else (b, a)


def two_sided(
    matrix: Array, k: int, columns: int, here: Array, free: Array
) -> Generator[Call, None, tuple[Array, Array]]:
    """Yield the products of tiles [k, k, columns] with a matrix [m, k] from both sides, or with its square.

    The tiles are in `here`. Return the memory that the results [m, m, columns] are in, and the other.
    """
    m = len(matrix)
    if matrix.shape[1] == k * k:
        yield times_columns(matrix, _matrix(here, k * k, columns), _matrix(free, m, columns))
        return free, here
    yield times_columns(matrix, _matrix(here, k, k * columns), _matrix(free, m, k * columns))
    sides = (_matrix(memory, m * size, columns).reshape(m, size, columns) for memory, size in ((free, k), (here, m)))
    yield times_columns(matrix, *sides)
    return here, free


def _matrix(memory: Array, rows: int, columns: int) -> Array:
    return memory[: rows * columns].reshape(rows, columns)


class Winograd(Method):
    """F(m×m, 3×3) for windows of 3×3 that move by 1."""

    def __init__(self, m: int, layout: Layout) -> None:
        self.m = m
        self.layout = layout

    def __str__(self) -> str:
        return f"winograd F({self.m}×{self.m})"

    def applies(self, operation: Operation) -> bool:
        """Whether the window is 3×3, moves by 1, and reads enough channels."""
        node = operation.node
        dense = getattr(node.layer, "groups", 1) == 1 and len(node.windows) == 2 and node.in_shapes[0][0] >= 8
        if not dense or any((w.kernel, w.stride, w.dilation) != (3, 1, 1) for w in node.windows):
            return False
        # The tiles of the larger form would reach far beyond a small image.
        return self.m == 2 or min(node.shape[1:]) > 4

    def border(self, operation: Operation) -> Border:
        """Return the padding, and what the last tiles reach beyond it."""
        _, oh, ow = operation.node.shape
        return border_of_windows(operation.node, -oh % self.m, -ow % self.m)

    def _tiles(self, operation: Operation) -> tuple[int, int]:
        _, oh, ow = operation.node.shape
        return -(-oh // self.m), -(-ow // self.m)

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the two copies and the three products."""
        node = operation.node
        (c, _, _), (o, oh, ow) = node.in_shapes[0], node.shape
        th, tw = self._tiles(operation)
        tiles, a, m = n * th * tw, self.m + 2, self.m
        blocks = max(1, tiles * (c + o) // max(TILES // (a * a), c * o))
        each = tiles // blocks or 1
        run_in, run_out = (c, o) if self.layout is CHANNELS_LAST else (n, n)
        size = n * o * oh * ow
        u = a * a * c * o * 4 / 20e9  # the weights come from memory
        return (
            copy_cost(a * a * tiles * c, run_in)
            + product_cost(a * a, a * a, each * c, blocks)
            + (
                product_cost(each, c, o, a * a * blocks)
                if self.layout is CHANNELS_LAST
                else product_cost(o, c, each, a * a * blocks)
            )
            + product_cost(m * m, a * a, each * o, blocks)
            + copy_cost(size, run_out)
            + blocks * 5 * CALL
            + u
            + stages_cost(operation, size) * PASS
        )

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block]:
        (c, _, _), (o, _, _) = operation.node.in_shapes[0], operation.node.shape
        th, tw = self._tiles(operation)
        width = self._panel_width(operation, n, lanes)
        lanes = 1 if self._shares_channels(operation, n, lanes) else lanes
        # A block that is smaller than the weights takes less time to leave the cache than they take to be read again.
        each = max(TILES // (self.m + 2) ** 2, c * o) // (c + o)
        if self.layout is BATCH_LAST:
            return [Block(0, n, b.r0, b.r1) for b in blocks_of(1, th, each // (tw * n), lanes)]
        small = small_rows(c, width)
        return blocks_of(n, th, (min(each, small) if small >= tw else each) // tw, lanes)

    def _panel_width(self, operation: Operation, n: int, lanes: int) -> int:
        """Return how many output channels are computed at a time, with the channels last."""
        (c, _, _), (o, _, _) = operation.node.in_shapes[0], operation.node.shape
        share = o // lanes if self._shares_channels(operation, n, lanes) else o
        return panel_width(n * math.prod(self._tiles(operation)), c, share)

    def _shares_channels(self, operation: Operation, n: int, lanes: int) -> bool:
        th, tw = self._tiles(operation)
        o = operation.node.shape[0]
        return self.layout is CHANNELS_LAST and lanes > 1 and n * th * tw < FEW * lanes and o % lanes == 0

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the tiles, their transform, the products and the outputs of a block."""
        (c, _, _), (o, _, _) = operation.node.in_shapes[0], operation.node.shape
        _, tw = self._tiles(operation)
        tiles = max((b.n1 - b.n0) * (b.r1 - b.r0) * tw for b in self._blocks(operation, n, lanes))
        a, m = (self.m + 2) ** 2, self.m**2
        # The tiles are done with when the products are made, and the transform when the outputs are.
        first, second = max(a * tiles * c, a * tiles * o), max(a * tiles * c, 2 * m * tiles * o)
        return {"first": first, "second": second}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield gather, transform, products, transform and finish for each block."""
        operation, n, x = job.operation, job.y.n, job.x[0]
        node, m = operation.node, self.m
        a = m + 2
        c, o = node.in_shapes[0][0], node.shape[0]
        _, tw = self._tiles(operation)
        shares = self._shares_channels(operation, n, job.lanes)
        blocks, (first, end) = job.divided(self._blocks(operation, n, job.lanes), o, shares)
        last = self.layout is CHANNELS_LAST
        width = self._panel_width(operation, n, job.lanes)
        weights = job.prepared(
            f"{self} in panels of {width}" if last else f"{self} {self.layout.value}",
            lambda read: (
                in_panels(transformed(read, node, m).swapaxes(1, 2), width) if last else transformed(read, node, m)
            ),
        )
        before, behind = matrices(m, x.full.dtype)
        count = end - first
        for block in blocks:
            taps = self._tiles_of(x.full, block, x.border, node, tw)
            tiles = taps.size // (a * a * c)
            # One product leads from one memory to the other, and two lead back: `first` is free for the products.
            here, free = (job.work(key) for key in (("first", "second") if m == 2 else ("second", "first")))
            yield partial(np.copyto, here[: taps.size].reshape(taps.shape), taps)
            here, free = yield from two_sided(before, a, tiles * c, here, free)
            v = here[: a * a * tiles * c]
            if last:
                products = free[: a * a * tiles * count].reshape(a * a, tiles, count)
                yield times_panels(v.reshape(a * a, tiles, c), weights[:, first // width : end // width], products)
            else:
                products = free[: a * a * tiles * count].reshape(a * a, count, tiles)
                yield partial(np.matmul, weights, v.reshape(a * a, c, tiles), out=products)
            if job.finish.has_bias:
                # Every output takes this element with the factor 1.
                at_one = products[a + 1]
                bias = job.finish.vector(node, "bias", 1)[0, first:end]
                yield partial(np.add, at_one, bias if last else bias[:, None], out=at_one)
            here, _ = yield from two_sided(behind, a, tiles * count, free, here)
            y = here[: m * m * tiles * count].reshape(m * m, -1)
            spare = here[m * m * tiles * count :]
            yield from self._finish(job, block, y, (first, end), tw, spare)

    def _tiles_of(self, full: Array, block: Block, border: Border, node: Any, tw: int) -> Array:
        """Return the tiles of a block as a view: [a, a, n, th, tw, c], or [a, a, c, th, tw, n] with the batch last."""
        h, w = node.windows
        a, m, rows = self.m + 2, self.m, block.r1 - block.r0
        top, left = border.top - h.before + block.r0 * m, border.left - w.before
        if self.layout is CHANNELS_LAST:
            start = full[block.n0 :, top:, left:]
            sn, sh, sw, sc = full.strides
            shape = (a, a, block.n1 - block.n0, rows, tw, full.shape[3])
            strides = (sh, sw, sn, m * sh, m * sw, sc)
        else:
            start = full[top:, :, left:]
            sh, sc, sw, sn = full.strides
            shape = (a, a, full.shape[1], rows, tw, full.shape[3])
            strides = (sh, sw, sc, m * sh, m * sw, sn)
        return as_strided(start, shape, strides, writeable=False)

    def _finish(self, job: Job, block: Block, y: Array, channels: Range, tw: int, spare: Array) -> Iterator[Call]:
        """Yield the calls that bring the outputs of tiles [m, m, …] to their places in the image."""
        rows, count = block.r1 - block.r0, channels[1] - channels[0]
        last = self.layout is CHANNELS_LAST
        behind = (block.n1 - block.n0, rows, tw, count) if last else (count, rows, tw, block.n1 - block.n0)
        results = y.reshape(self.m, self.m, *behind)
        if job.operation.pool is not None:
            results = yield from _maximum(results, spare)
        size = results.size
        tiles = Tiles(self.layout, len(results), block, tw, channels, job.operation.last.shape[1:])
        finish = partial(
            job.finish, spare=spare, channel_axis=-1 if last else -4, channels=channels, bias=False, pooled=True
        )
        if tiles.fit:
            yield from finish(results, tiles.whole)
            return
        for i, j in product(range(tiles.m), repeat=2):
            part = tiles.inside(results, i, j)
            if part.size and not part.flags.c_contiguous:
                # The stages work on contiguous arrays.
                scratch = spare[size // tiles.m**2 :][: part.size].reshape(part.shape)
                yield partial(np.copyto, scratch, part)
                part = scratch
            if part.size:
                yield from finish(part, partial(tiles.element, i, j))


def _maximum(results: Array, spare: Array) -> Any:
    """Take the maximum over 2×2 windows of results [m, m, …], each of which lies within a tile: [m/2, m/2, …]."""
    m, *behind = len(results) // 2, *results.shape[2:]
    half = spare[: results.size // 2].reshape(m, 2 * m, *behind)
    out = results.reshape(-1)[: results.size // 4].reshape(m, m, *behind)
    yield partial(np.maximum, results[0::2], results[1::2], out=half)
    yield partial(np.maximum, half[:, 0::2], half[:, 1::2], out=out)
    return out


@dataclass(frozen=True)
class Tiles:
    """Where the outputs of a block of tiles, m×m of each, lie in an image of that size."""

    layout: Layout
    m: int
    block: Block
    """Its rows are rows of tiles."""
    columns: int
    """Tiles in a row."""
    channels: Range
    size: tuple[int, ...]

    @property
    def end(self) -> int:
        """The row behind the last tiles, or behind the image."""
        return min(self.block.r1 * self.m, self.size[0])

    @property
    def fit(self) -> bool:
        """Whether no tile reaches beyond the image."""
        return self.block.r1 * self.m <= self.size[0] and self.columns * self.m <= self.size[1]

    def whole(self, z: Array) -> Array:
        """Return the outputs of all tiles in an image, where they fit: [m, m, …] in the order of the results."""
        z = self._region(z)
        rows, m = self.block.r1 - self.block.r0, self.m
        if self.layout is CHANNELS_LAST:
            return z.reshape(len(z), rows, m, self.columns, m, z.shape[3]).transpose(2, 4, 0, 1, 3, 5)
        return z.reshape(rows, m, z.shape[1], self.columns, m, z.shape[3]).transpose(1, 4, 2, 0, 3, 5)

    def element(self, i: int, j: int, z: Array) -> Array:
        """Return the output (i, j) of each tile in an image: [1, 1, …]."""
        z, m = self._region(z), self.m
        if self.layout is CHANNELS_LAST:
            return z[:, i::m, j::m][None, None]
        return z[i::m, :, j::m].transpose(1, 0, 2, 3)[None, None]

    def inside(self, results: Array, i: int, j: int) -> Array:
        """Return the output (i, j) of those tiles for which it lies in the image: [1, 1, …]."""
        rows = len(range(i, self.end - self.block.r0 * self.m, self.m))
        columns = len(range(j, self.size[1], self.m))
        return results[i : i + 1, j : j + 1, :, :rows, :columns]

    def _region(self, z: Array) -> Array:
        block, rows, channels = self.block, slice(self.block.r0 * self.m, self.end), slice(*self.channels)
        return z[block.n0 : block.n1, rows, :, channels] if self.layout is CHANNELS_LAST else z[rows, channels]


def transformed(read: Read, node: Any, m: int) -> Array:
    """Return the transformed weight of a node [(m + 2)², o, c]."""
    return transformed_weight(correlation_weight(node, read("weight")), m)
