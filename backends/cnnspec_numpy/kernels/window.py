"""Sliding windows over arrays of any number of spatial axes; a tap is one element of every window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers.geometry import Window

Windows = Sequence[Window]
"""One window for each spatial axis."""


def pad_axes(x: Array, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Array:
    """Return x [n, c, ...] with elements before and after along each spatial axis; x itself where there are none."""
    if not any(map(any, pads)):
        return x
    sizes = x.shape[2:]
    shape = (*x.shape[:2], *(before + n + after for (before, after), n in zip(pads, sizes, strict=True)))
    padded = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    unpad(padded, pads, sizes)[...] = x
    return padded


def unpad(x: Array, pads: Sequence[tuple[int, int]], sizes: Sequence[int]) -> Array:
    """Return the elements of x [n, c, ...] without their padding, as a view [n, c, *sizes]."""
    inner = [slice(before, before + n) for (before, _), n in zip(pads, sizes, strict=True)]
    return view(x, EVERY, EVERY, *inner)


def padded(x: Array, windows: Windows, value: float = 0.0) -> Array:
    """Return x [n, c, ...] with the padding of its windows, and what ceil rounding reaches beyond that."""
    return pad_axes(x, [(window.before, window.after + window.extra) for window in windows], value)


def pads_of(windows: Windows) -> list[tuple[int, int]]:
    """Return the padding before and after along each axis."""
    return [(window.before, window.after) for window in windows]


EVERY = slice(None)


def view(x: Array, *index: Any) -> Array:
    """Return x[index] for an index of slices and integers, of any length."""
    found: Array = x[index]
    return found


def taps(x: Array, windows: Windows) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Yield the index of each tap, in order, and the elements under it: a view [n, c, *out] of the padded x."""
    for tap in product(*(range(window.kernel) for window in windows)):
        places = (under(i, window) for i, window in zip(tap, windows, strict=True))
        yield tap, view(x, EVERY, EVERY, *places)


def under(tap: int, window: Window) -> slice:
    """Return the elements along one axis of a padded array that a tap lies on, at all positions."""
    first = tap * window.dilation
    return slice(first, first + (window.out - 1) * window.stride + 1, window.stride)
