"""Cross-correlation of frames and its two derivatives; one of them is the transposed convolution.

All are matrix products over columns (im2col; Chellapilla, Puri & Simard 2006), tile by tile so that the columns
stay small. Two cases do with less: a 1×1 window needs no columns, and a depthwise one no matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.kernels.window import Window, taps

WORKSPACE = 2**23
"""Bytes of a tile's columns and products: about what the caches hold."""

Index = tuple[slice, slice, slice]


def correlate(frame: Array, weight: Array, window: Window, groups: int) -> Array:
    """frame [n, c, H, W], weight [o, c/g, kh, kw] -> y [n, o, oh, ow]."""
    n, o = len(frame), len(weight)
    y = np.empty((n, o, *window.places), frame.dtype)
    if _is_pointwise(frame.shape, window):
        np.matmul(_by_group(weight, groups), _flat(frame, groups), out=_flat(y, groups))
    elif _is_depthwise(weight, groups):
        for at, view, tile in _tiles(frame, window, o):
            total = np.zeros_like(y[at])
            for i, j, x in taps(view, tile):
                total += x * weight[:, 0, i, j, None, None]
            y[at] = total
    else:
        for at, view, tile in _tiles(frame, window, _numbers(weight, groups)):
            product = _by_group(weight, groups) @ _columns(view, tile, groups)
            y[at] = product.reshape(o, -1, *tile.places).swapaxes(0, 1)
    return y


def spread(dy: Array, weight: Array, size: tuple[int, int], window: Window, groups: int) -> Array:
    """The adjoint of `correlate`: dy [n, o, oh, ow], weight [o, c/g, kh, kw] -> dframe [n, c, H, W], H and W given."""
    n, c = len(dy), weight.shape[1] * groups
    if _is_pointwise((n, c, *size), window):
        return (_by_group(weight, groups).swapaxes(1, 2) @ _flat(dy, groups)).reshape(n, c, *size)
    dframe = np.zeros((n, c, *size), dy.dtype)
    if _is_depthwise(weight, groups):
        for at, view, tile in _tiles(dframe, window, c):
            for i, j, dx in taps(view, tile):
                dx += dy[at] * weight[:, 0, i, j, None, None]
    else:
        for at, view, tile in _tiles(dframe, window, _numbers(weight, groups)):
            product = _by_group(weight, groups).swapaxes(1, 2) @ _channels_first(dy[at], groups)
            columns = product.reshape(c, *window.kernel, -1, *tile.places)
            for i, j, dx in taps(view, tile):
                dx += columns[:, i, j].swapaxes(0, 1)
    return dframe


def weight_gradient(frame: Array, dy: Array, weight: Array, window: Window, groups: int) -> Array:
    """frame [n, c, H, W], dy [n, o, oh, ow] -> dweight [o, c/g, kh, kw], of the weight's shape."""
    dweight = np.zeros(weight.shape, weight.dtype)
    if _is_depthwise(weight, groups):
        for at, view, tile in _tiles(frame, window, len(weight)):
            for i, j, x in taps(view, tile):
                dweight[:, 0, i, j] += np.einsum("nchw,nchw->c", x, dy[at])
    else:
        for at, view, tile in _tiles(frame, window, _numbers(weight, groups)):
            product = _channels_first(dy[at], groups) @ _columns(view, tile, groups).swapaxes(1, 2)
            dweight += product.reshape(weight.shape)
    return dweight


def _is_pointwise(frame_shape: tuple[int, ...], window: Window) -> bool:
    # Every sample is a product of its own here; below some size one product over columns wins.
    return window.kernel == (1, 1) and window.places == frame_shape[2:] and math.prod(window.places) >= 32


def _is_depthwise(weight: Array, groups: int) -> bool:
    return groups == len(weight) > 1 and weight.shape[1] == 1


def _numbers(weight: Array, groups: int) -> int:
    """How many numbers a tile holds for each place: its column and its outputs."""
    return groups * math.prod(weight.shape[1:]) + len(weight)


def _tiles(frame: Array, window: Window, numbers: int) -> Iterator[tuple[Index, Array, Window]]:
    """Runs of samples, or of rows of one: its index into [n, o, oh, ow], its part of the frame, its window."""
    oh, ow = window.places
    rows = WORKSPACE // (numbers * frame.itemsize * ow)
    samples, rows = max(1, rows // oh), max(1, min(rows, oh))
    for start in range(0, len(frame), samples):
        part = slice(start, start + samples)
        for top in range(0, oh, rows):
            bottom = min(top + rows, oh)
            view = frame[part, :, top * window.stride[0] :]
            yield (part, slice(None), slice(top, bottom)), view, window._replace(places=(bottom - top, ow))


def _columns(frame: Array, window: Window, groups: int) -> Array:
    """What each window sees, as a column: [n, c, H, W] -> [g, c/g·kh·kw, n·oh·ow]."""
    n, c = frame.shape[:2]
    columns = np.empty((c, *window.kernel, n, *window.places), frame.dtype)
    for i, j, x in taps(frame, window):
        columns[:, i, j] = x.swapaxes(0, 1)
    return columns.reshape(groups, c // groups * math.prod(window.kernel), -1)


def _channels_first(y: Array, groups: int) -> Array:
    """[n, o, oh, ow] -> [g, o/g, n·oh·ow]."""
    return y.swapaxes(0, 1).reshape(groups, y.shape[1] // groups, -1)


def _by_group(weight: Array, groups: int) -> Array:
    """[o, c/g, kh, kw] -> [g, o/g, c/g·kh·kw]."""
    return weight.reshape(groups, len(weight) // groups, -1)


def _flat(x: Array, groups: int) -> Array:
    """[n, c, h, w] -> [n, g, c/g, h·w]."""
    return x.reshape(len(x), groups, x.shape[1] // groups, -1)
