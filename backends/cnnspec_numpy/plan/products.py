"""Matrix products in the sizes that BLAS multiplies fastest.

OpenBLAS copies both factors into panels before it multiplies them, which takes as long as the product itself where one
axis is short. On processors with AVX-512 it has kernels for small products that copy nothing. So longer products are
divided there: into pieces of the long axis, and into panels of output channels that stay in the first-level cache.
Each number is the same sum as in one product; only the order in which it is rounded may differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.threads import blas_architectures

SMALL = 1_000_000
"""Multiplications up to which a product is small."""
FIRST_LEVEL = 1 << 13
"""Numbers of a panel that stay in the first-level cache."""
REGISTER = 16
"""Numbers of a register, in float32."""
WIDTHS = (4 * REGISTER, 3 * REGISTER, 2 * REGISTER, REGISTER)
"""Output channels of a panel."""
ROWS = 48
"""Fewer rows than that, of more that there are, lose by their division what the small products gain."""
DEPTH = 288
"""The longest stretch of a row in one small product, where a long row is divided."""
WITH_SMALL_PRODUCTS = {"skylakex", "cooperlake", "sapphirerapids"}
"""OpenBLAS' names of the processors for which it has such kernels."""


@cache
def has_small_products() -> bool:
    """Whether BLAS multiplies small matrices without copying them."""
    found = blas_architectures()
    return bool(found) and found <= WITH_SMALL_PRODUCTS


def is_small(m: int, k: int, n: int) -> bool:
    """Whether BLAS multiplies [m, k] @ [k, n] without copying the factors."""
    return has_small_products() and m * k * n <= SMALL


def panel_width(p: int, k: int, o: int) -> int:
    """Return how many output channels a product [p, k] @ [k, o] takes at a time: o where it is best done at once."""
    if not has_small_products() or (k * o <= FIRST_LEVEL and p * k * o <= SMALL):
        return o
    most = max(32, FIRST_LEVEL // k)
    width = next((width for width in WIDTHS if width <= most and o % width == 0), o)
    return width if min(p, ROWS) * k * width <= SMALL else o


def panel_depth(p: int, k: int, o: int) -> int:
    """Return how much of rows [p, k] a product takes at a time: less than k for few long rows, whose sums are added."""
    if not has_small_products() or p > ROWS + 16 or o % 32 or p * k * 32 <= SMALL:
        return k
    return next((depth for depth in range(DEPTH, 95, -16) if k % depth == 0 and p * depth * 32 <= SMALL), k)


def small_rows(k: int, width: int) -> int:
    """Return how many rows a small product [rows, k] @ [k, width] has at most, where there are such products."""
    return SMALL // (k * width) if has_small_products() else SMALL


def in_panels(weight: Array, width: int) -> Array:
    """Return a weight [..., k, o] as panels of output channels: [..., o / width, k, width]."""
    *batch, k, o = weight.shape
    return np.moveaxis(weight.reshape(*batch, k, o // width, width), -2, -3)


def times_panels(x: Array, panels: Array, out: Array) -> Call:
    """Return the product of rows x [..., p, k] with panels [..., q, k, width]: out [..., p, q·width]."""
    *batch, p, k = x.shape
    q, width = panels.shape[-3], panels.shape[-1]
    pieces = pieces_of(p, k * width)
    if q == pieces == 1:
        return partial(np.matmul, x, panels[..., 0, :, :], out=out)
    rows = p // pieces
    by_panel = np.moveaxis(out.reshape(*batch, pieces, rows, q, width), -2, -4)
    return partial(np.matmul, x.reshape(*batch, 1, pieces, rows, k), panels[..., None, :, :], out=by_panel)


def sum_of_products(x: Array, panels: Array, parts: Array, out: Array) -> Iterator[Call]:
    """Yield the product of rows x [p, k] with panels [d, q, k/d, width], as a sum of d products: out [p, q·width]."""
    d, _, depth, _ = panels.shape
    if d == 1:
        yield times_panels(x, panels[0], out)
        return
    p = len(x)
    parts = parts[: d * out.size].reshape(d, *out.shape)
    yield times_panels(x.reshape(p, d, depth).swapaxes(0, 1), panels, parts)
    yield partial(np.add.reduce, parts, axis=0, out=out)


def times_columns(matrix: Array, x: Array, out: Array) -> Call:
    """Return the product of a matrix [m, k] with long rows x [..., k, columns]: out [..., m, columns]."""
    (m, k), columns = matrix.shape, x.shape[-1]
    pieces = pieces_of(columns, m * k)
    if pieces == 1:
        return partial(np.matmul, matrix, x, out=out)
    apart = [np.moveaxis(a.reshape(*a.shape[:-1], pieces, columns // pieces), -2, -3) for a in (x, out)]
    return partial(np.matmul, matrix, apart[0], out=apart[1])


def pieces_of(length: int, each: int) -> int:
    """Return in how many equal pieces an axis is divided, of whose elements each takes `each` multiplications."""
    if not has_small_products():
        return 1
    least = -(-length * each // SMALL)
    fitting = (pieces for pieces in range(least, length // ROWS + 1) if length % pieces == 0)
    return next(fitting, 1)
