"""The slab of an image with the batch last: its rows, each shifted by every column of a window.

A slab is [g, h, c/g, kw, ow·n]; the elements under all windows of an output row are a stretch of its rows, a matrix
[kh·c/g·kw, ow·n] for each group, without a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.arrays import Array
from cnnspec.layers.geometry import Window
from cnnspec_numpy.plan.value import Border, Value

Windows = Sequence[Window]


def rows_under(window: Window, rows: int) -> int:
    """Return how many rows of the image the windows of some rows of the output reach over."""
    return (rows - 1) * window.stride + window.span


def slab_weight(weight: Array, groups: int, stride: int, rows: int = 1) -> Array:
    """Return a weight [o, c/g, kh, kw] for columns of the slab: [g, 1, rows·o/g, K], shifted for each of the rows."""
    o, c, kh, kw = weight.shape
    flat = weight.reshape(groups, o // groups, c, kh, kw).transpose(0, 1, 3, 2, 4).reshape(groups, 1, o // groups, -1)
    if rows == 1:
        return flat
    in_row = c * kw
    found = np.zeros((groups, 1, rows, o // groups, (kh + (rows - 1) * stride) * in_row), weight.dtype)
    for row in range(rows):
        start = row * stride * in_row
        found[:, :, row, :, start : start + kh * in_row] = flat
    return found.reshape(groups, 1, rows * o // groups, -1)


def shifted_rows(full: Array, border: Border, windows: Windows, first: int, rows: int, groups: int) -> Array:
    """Return the rows under some output rows, shifted by each column of the window, as a view [g, h, c/g, kw, ow, n].

    `full` is the image [h, c, w, n] with its border.
    """
    h, w = windows
    top = border.top - h.before + first * h.stride
    start = full[top:, :, border.left - w.before :]
    sh, sc, sw, sn = full.strides
    c = full.shape[1] // groups
    shape = (groups, rows_under(h, rows), c, w.kernel, w.out, full.shape[3])
    return as_strided(start, shape, (c * sc, sh, sc, sw * w.dilation, sw * w.stride, sn), writeable=False)


def is_slab(windows: Windows, groups: int) -> bool:
    """Whether an image is its own slab: the window has one column, which moves by 1, without padding."""
    w = windows[1]
    return groups == 1 and (w.kernel, w.stride, w.before, w.after) == (1, 1, 0, 0)


def image_as_slab(full: Array, border: Border, windows: Windows, first: int, rows: int) -> Array | None:
    """Return the rows of an image that is its own slab as [1, h, c, 1, w·n]; None where they are not in one piece."""
    if not is_slab(windows, 1) or not takes_rows(full) or border.left or border.right:
        return None
    h = windows[0]
    top = border.top - h.before + first * h.stride
    part = full[top : top + rows_under(h, rows)]
    if part.strides[0] != part.strides[1] * part.shape[1]:
        return None  # rows of a range of channels do not follow each other
    return part.reshape(1, *part.shape[:2], 1, -1)


def rows_as_matrices(x: Value, window: Window, first: int, end: int) -> Array:
    """Return the rows of an image under each of some output rows, as matrices [rows, kh·c, w·n].

    They are a view, in which rows overlap.
    """
    start = x.full[x.border.top - window.before + first * window.stride :, :, x.border.left :]
    sh, sc, _, sn = x.full.strides
    c, _, w = x.image
    return as_strided(start, (end - first, window.kernel * c, w * x.n), (sh * window.stride, sc, sn), writeable=False)


def takes_rows(x: Array) -> bool:
    """Whether the columns and samples of an image [h, c, w, n] are one run of neighbours."""
    return x.strides[3] == x.itemsize and x.strides[2] == x.itemsize * x.shape[3]


def under_windows(slab: Array, stride: int, rows: int, k: int, together: int = 1) -> Array:
    """Return the columns under the windows of output rows as a view of the slab: [g, rows / together, K, ow·n]."""
    sg, sh = slab.strides[:2]
    shape = (slab.shape[0], rows // together, k, slab.shape[4])
    strides = (sg, sh * stride * together, slab.strides[3], slab.itemsize)
    return as_strided(slab, shape, strides, writeable=False)


def rows_by_group(y: Array, groups: int, together: int = 1) -> Array:
    """Return output rows [rows, o, ow, n] as matrices: [g, rows / together, together·o/g, ow·n]."""
    rows, o, ow, n = y.shape
    sh, so = y.strides[:2]
    shape = (groups, rows // together, together * o // groups, ow * n)
    return as_strided(y, shape, (o // groups * so, sh * together, so, y.itemsize))


def taps_by_row(full: Array, border: Border, windows: Windows, first: int, rows: int) -> Array:
    """Return the elements under the windows of some output rows, as a view [rows, kh, c, kw, ow, n]."""
    h, w = windows
    start = full[border.top - h.before + first * h.stride :, :, border.left - w.before :]
    sh, sc, sw, sn = full.strides
    shape = (rows, h.kernel, full.shape[1], w.kernel, w.out, full.shape[3])
    strides = (sh * h.stride, sh * h.dilation, sc, sw * w.dilation, sw * w.stride, sn)
    return as_strided(start, shape, strides, writeable=False)


def depthwise_taps(x: Value, windows: Windows, first: int, y: Array) -> tuple[Array, Array]:
    """Return the elements under the windows of output rows y [rows, c, ow, n], and y: with ow·n as one axis if it is.

    Loops over both are long, then.
    """
    taps = taps_by_row(x.full, x.border, windows, first, len(y))
    if windows[1].stride != 1 or not takes_rows(x.full) or not takes_rows(y):
        return taps, y
    shape, strides = (*taps.shape[:4], taps.shape[4] * taps.shape[5]), (*taps.strides[:4], taps.strides[5])
    return as_strided(taps, shape, strides, writeable=False), rows_by_group(y, 1)[0]


def depthwise_rows(x: Value, windows: Windows, first: int, weights: Array, y: Array) -> Callable[[], Any]:
    """Return the call that writes output rows y [rows, c, ow, n] of a depthwise convolution; weights [kh, kw, c]."""
    taps, rows = depthwise_taps(x, windows, first, y)
    return partial(np.einsum, "hicjk,ijc->hck" if rows.ndim == 3 else "hicjwn,ijc->hcwn", taps, weights, out=rows)
