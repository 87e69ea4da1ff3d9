"""Cross-correlation of padded arrays and its two derivatives; one of them is the transposed convolution.

All are matrix products over columns (im2col; Chellapilla, Puri & Simard 2006), tile by tile so that the columns
stay small. Two cases do with less: a 1×1 window needs no columns, and a depthwise one no matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.kernels.base import over_axes
from cnnspec_numpy.kernels.window import EVERY, Windows, taps, view

WORKSPACE = 2**23
"""Bytes of a tile's columns and products: about the size of the caches."""

Index = tuple[slice, slice, slice]
"""Samples, channels, and the first spatial axis of the output."""


def correlate(x: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Cross-correlate a padded array: x [n, c, H, W], weight [o, c/g, kh, kw] -> y [n, o, oh, ow]."""
    n, o = len(x), len(weight)
    y = np.empty((n, o, *_out(windows)), x.dtype)
    if _is_pointwise(x.shape, windows):
        np.matmul(_by_group(weight, groups), _flat(x, groups), out=_flat(y, groups))
    elif _is_depthwise(weight, groups):
        for at, part, tile in _tiles(x, windows, o):
            total = np.zeros_like(y[at])
            for tap, elements in taps(part, tile):
                total += elements * over_axes(view(weight, EVERY, 0, *tap), len(windows))
            y[at] = total
    else:
        for at, part, tile in _tiles(x, windows, _numbers(weight, groups)):
            product = _by_group(weight, groups) @ _columns(part, tile, groups)
            y[at] = product.reshape(o, -1, *_out(tile)).swapaxes(0, 1)
    return y


def correlate_backward_input(dy: Array, weight: Array, sizes: tuple[int, ...], windows: Windows, groups: int) -> Array:
    """Return the adjoint of `correlate`: dy [n, o, oh, ow], weight [o, c/g, kh, kw] -> dx [n, c, *sizes]."""
    n, c = len(dy), weight.shape[1] * groups
    if _is_pointwise((n, c, *sizes), windows):
        return (_by_group(weight, groups).swapaxes(1, 2) @ _flat(dy, groups)).reshape(n, c, *sizes)
    padded_dx = np.zeros((n, c, *sizes), dy.dtype)
    if _is_depthwise(weight, groups):
        for at, part, tile in _tiles(padded_dx, windows, c):
            for tap, dx in taps(part, tile):
                dx += dy[at] * over_axes(view(weight, EVERY, 0, *tap), len(windows))
    else:
        for at, part, tile in _tiles(padded_dx, windows, _numbers(weight, groups)):
            product = _by_group(weight, groups).swapaxes(1, 2) @ _channels_first(dy[at], groups)
            columns = product.reshape(c, *_kernel(windows), -1, *_out(tile))
            for tap, dx in taps(part, tile):
                dx += view(columns, EVERY, *tap).swapaxes(0, 1)
    return padded_dx


def weight_gradient(x: Array, dy: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Return the gradient of the weight: padded x [n, c, H, W], dy [n, o, oh, ow] -> dweight [o, c/g, kh, kw]."""
    dweight = np.zeros(weight.shape, weight.dtype)
    if _is_depthwise(weight, groups):
        axes = "nc" + "dhw"[-len(windows) :]
        for at, part, tile in _tiles(x, windows, len(weight)):
            for tap, elements in taps(part, tile):
                dtap = view(dweight, EVERY, 0, *tap)
                dtap += np.einsum(f"{axes},{axes}->c", elements, dy[at])
    else:
        for at, part, tile in _tiles(x, windows, _numbers(weight, groups)):
            product = _channels_first(dy[at], groups) @ _columns(part, tile, groups).swapaxes(1, 2)
            dweight += product.reshape(weight.shape)
    return dweight


def _kernel(windows: Windows) -> tuple[int, ...]:
    return tuple(window.kernel for window in windows)


def _out(windows: Windows) -> tuple[int, ...]:
    return tuple(window.out for window in windows)


def _is_pointwise(shape: tuple[int, ...], windows: Windows) -> bool:
    # Every sample is a product of its own here; below some size one product over columns wins.
    out = _out(windows)
    return all(window.kernel == 1 for window in windows) and out == shape[2:] and math.prod(out) >= 32


def _is_depthwise(weight: Array, groups: int) -> bool:
    return groups == len(weight) > 1 and weight.shape[1] == 1


def _numbers(weight: Array, groups: int) -> int:
    """Return how many numbers a tile holds for each position: its column and its outputs."""
    return groups * math.prod(weight.shape[1:]) + len(weight)


def _tiles(x: Array, windows: Windows, numbers: int) -> Iterator[tuple[Index, Array, Windows]]:
    """Yield runs of samples, or of rows of one: its index into the output, its part of x, its windows."""
    first, *rest = windows
    rows = WORKSPACE // (numbers * x.itemsize * math.prod(_out(rest)))
    samples, rows = max(1, rows // first.out), max(1, min(rows, first.out))
    for start in range(0, len(x), samples):
        samples_of = slice(start, start + samples)
        for top in range(0, first.out, rows):
            bottom = min(top + rows, first.out)
            part = x[samples_of, :, top * first.stride :]
            yield (samples_of, slice(None), slice(top, bottom)), part, [first._replace(out=bottom - top), *rest]


def _columns(x: Array, windows: Windows, groups: int) -> Array:
    """Return the elements under each window as a column: [n, c, H, W] -> [g, c/g·kh·kw, n·oh·ow]."""
    n, c = x.shape[:2]
    columns = np.empty((c, *_kernel(windows), n, *_out(windows)), x.dtype)
    for tap, elements in taps(x, windows):
        view(columns, EVERY, *tap)[...] = elements.swapaxes(0, 1)
    return columns.reshape(groups, c // groups * math.prod(_kernel(windows)), -1)


def _channels_first(y: Array, groups: int) -> Array:
    """[n, o, oh, ow] -> [g, o/g, n·oh·ow]."""
    return y.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, -1)


def _by_group(weight: Array, groups: int) -> Array:
    """[o, c/g, kh, kw] -> [g, o/g, c/g·kh·kw]."""
    return weight.reshape(groups, len(weight) // groups, -1)


def _flat(x: Array, groups: int) -> Array:
    """[n, c, h, w] -> [n, g, c/g, h·w]."""
    return x.reshape(len(x), groups, x.shape[1] // groups, -1)
