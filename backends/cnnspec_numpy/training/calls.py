"""Calls that several layers of a training plan share, on arrays with the batch last."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from cnnspec_numpy.plan.finish import Constants
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.method import CACHE
from cnnspec_numpy.plan.slabs import Windows, rows_by_group, takes_rows

from cnnspec.arrays import Array

BLOCK = CACHE // 4
"""Numbers of each array that elementwise calls work on at a time, so that all their arrays stay in the cache."""


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


def axes_of(x: Array) -> str:
    """Return the axes of a value as `einsum` names them: hcwn of an image, cn of a vector."""
    return "hcwn" if x.ndim == 4 else "cn"


def over_channels(v: Array, x: Array) -> Array:
    """Return a vector over the channels in the form that broadcasts to a value: v [c] -> [c, 1, ...]."""
    return v.reshape(-1, *[1] * (len(axes_of(x)) - 1 - axes_of(x).index("c")))


def repeated_size(shape: tuple[int, ...]) -> int:
    """Return how much memory `repeated` takes for a value of that shape."""
    row = int(np.prod(shape[-3:]))
    return row if row <= BLOCK else 0


def repeated(v: Array, x: Array, memory: Array) -> Generator[Call, None, Array]:
    """Return a vector over the channels that broadcasts to a value; repeated along its rows, if those are not long.

    With arrays of one shape NumPy's loops are longer than with one number for each channel of each row.
    """
    if not memory.size:
        return over_channels(v, x)
    row = memory.reshape(x.shape[-3:])
    yield partial(np.copyto, row, over_channels(v, x))
    return row


def block_size(shape: tuple[int, ...]) -> int:
    """Return how many numbers of an array of that shape `in_blocks` takes at a time, at most."""
    row = int(np.prod(shape[1:]))
    return min(shape[0], max(1, BLOCK // max(1, row))) * row


def in_blocks(*arrays: Array) -> Iterator[list[Array]]:
    """Yield the same part of arrays of one shape, some rows after others."""
    rows = max(1, block_size(arrays[0].shape) // max(1, arrays[0][0].size))
    for first in range(0, len(arrays[0]), rows):
        yield [array[first : first + rows] for array in arrays]


def rows_size(shape: tuple[int, ...]) -> int:
    """Return how many numbers of an array of that shape `in_rows` takes at a time, at most."""
    return block_size(shape) if len(shape) == 4 else int(np.prod(shape))


def in_rows(*arrays: Array) -> Iterator[list[Array]]:
    """Yield the same rows of images of one shape, with all channels; vectors are one block."""
    return in_blocks(*arrays) if arrays[0].ndim == 4 else iter([list(arrays)])


def add_up(source: Array, shape: tuple[int, ...], memory: Array) -> Generator[Call, None, Array]:
    """Yield the sums along the axes that have one element in `shape`, one after the other, and return the last.

    Each is in the order that the source has in memory, of which as much is needed as the source has.
    """
    for axis, size in enumerate(shape):
        if size < source.shape[axis]:
            order = sorted(range(source.ndim), key=lambda i: -source.strides[i])
            sizes = [1 if i == axis else source.shape[i] for i in order]
            total, memory = np.split(memory, [source.size // source.shape[axis]])
            total = total.reshape(sizes).transpose([order.index(i) for i in range(source.ndim)])
            yield partial(np.add.reduce, source, axis=axis, keepdims=True, out=total)
            source = total
    return source


# Signs as masks


def as_integers(x: Array) -> Array:
    """Return the bits of numbers as integers, as a view."""
    return x.view(np.int32 if x.itemsize == 4 else np.int64)


def keep_where_negative(mask: Array, source: Array, out: Array) -> Iterator[Call]:
    """Yield out = source where mask is negative, and 0 elsewhere; the mask is overwritten, and may be `out`.

    The sign bit, spread over a whole integer, is a mask for the bits of a number: exact, and faster than an index.
    """
    bits = as_integers(mask)
    yield partial(np.right_shift, bits, bits.itemsize * 8 - 1, out=bits)
    yield partial(np.bitwise_and, bits, as_integers(source), out=as_integers(out))


# Windows


class Tap(NamedTuple):
    """A tap of a window at the positions where it lies inside of the image, for arrays [h, c, w, n]."""

    row: int
    column: int
    under: tuple[slice, slice, slice]
    """The elements of the image under it."""
    at: tuple[slice, slice, slice]
    """Their positions."""


def taps_inside(windows: Windows, sizes: tuple[int, ...], first: int = 0, end: int | None = None) -> Iterator[Tap]:
    """Yield the taps of windows over an image, row by row, for the positions in rows first … end, counted from first.

    What lies in the padding is left out, which neither a maximum nor a gradient feels.
    """
    h, w = windows
    for i in range(h.kernel):
        r0, r1 = h.inside(i, sizes[0])
        r0, r1 = max(r0, first), min(r1, h.out if end is None else end)
        for j in range(w.kernel):
            c0, c1 = w.inside(j, sizes[1])
            if r0 < r1 and c0 < c1:
                top, left = h.element(r0, i), w.element(c0, j)
                rows = slice(top, top + (r1 - r0 - 1) * h.stride + 1, h.stride)
                columns = slice(left, left + (c1 - c0 - 1) * w.stride + 1, w.stride)
                every = slice(None)
                yield Tap(i, j, (rows, every, columns), (slice(r0 - first, r1 - first), every, slice(c0, c1)))
