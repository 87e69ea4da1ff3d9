"""Pooling."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.geometry import Window
from cnnspec.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from cnnspec_numpy.kernels.base import Context, Result
from cnnspec_numpy.kernels.shape import weighted_sums
from cnnspec_numpy.kernels.window import EVERY, Windows, pad_axes, padded, pads_of, taps, under, unpad, view


def max_pool(context: Context[MaxPool], x: Array) -> Result:
    """y = the largest tap; the gradient goes to the first of the largest."""
    windows = context.node.windows
    y = maximum_over_windows(padded(x, windows, -np.inf), windows)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        bordered = padded(x, windows, -np.inf)
        dx = np.zeros_like(bordered)
        remaining = dy.copy()
        for (_, tap), (_, dtap) in zip(taps(bordered, windows), taps(dx, windows), strict=True):
            share = remaining * (tap == y)
            dtap += share
            remaining -= share
        return (unpad(dx, pads_of(windows), x.shape[2:]),), {}

    return y, backward


def maximum_over_windows(x: Array, windows: Windows) -> Array:
    """Return the maximum of each window of the padded x, one axis after the other: [n, c, ...] -> [n, c, *out]."""
    for axis, w in enumerate(windows, start=2):
        every = (slice(None),) * axis
        first, *others = (x[(*every, under(i, w))] for i in range(w.kernel))
        x = first.copy() if not others else np.maximum(first, others[0])
        for tap in others[1:]:
            np.maximum(x, tap, out=x)
    return x


def avg_pool(context: Context[AvgPool], x: Array) -> Result:
    """y = Σ taps / how many of them count."""
    windows = context.node.windows
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    counted = pad_axes(ones, pads_of(windows), float(context.layer.count_padding))
    counted = pad_axes(counted, [(0, window.extra) for window in windows])
    factor = 1 / _sum_of_taps(counted, windows)
    y = _sum_of_taps(padded(x, windows), windows) * factor

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros((*x.shape[:2], *counted.shape[2:]), x.dtype)
        share = dy * factor
        for _, dtap in taps(dx, windows):
            dtap += share
        return (unpad(dx, pads_of(windows), x.shape[2:]),), {}

    return y, backward


def global_avg_pool(context: Context[GlobalAvgPool], x: Array) -> Result:
    """y = mean of each channel."""
    axes = tuple(range(2, x.ndim))
    count = x[0, 0].size

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (np.broadcast_to(np.expand_dims(dy / count, axes), x.shape),), {}

    return x.mean(axes), backward


def global_max_pool(context: Context[GlobalMaxPool], x: Array) -> Result:
    """y = the largest of each channel; the gradient goes to the first of the largest."""
    flat = x.reshape(*x.shape[:2], -1)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros_like(flat)
        np.put_along_axis(dx, flat.argmax(2)[:, :, None], dy[:, :, None], 2)
        return (dx.reshape(x.shape),), {}

    return flat.max(2), backward


def adaptive_avg_pool(context: Context[AdaptiveAvgPool], x: Array) -> Result:
    """y = mean of each window, along one axis after the other."""

    def means(n: int, window: Window) -> Array:
        matrix = np.zeros((window.out, n), x.dtype)
        for row, (start, end) in zip(matrix, window.bounds, strict=True):
            row[start:end] = 1 / (end - start)
        return matrix

    return weighted_sums(x, [means(n, window) for n, window in zip(x.shape[2:], context.node.windows, strict=True)])


def adaptive_max_pool(context: Context[AdaptiveMaxPool], x: Array) -> Result:
    """y = the largest of each window; the gradient goes to the first of the largest."""
    sizes, bounds = x.shape[2:], [window.bounds for window in context.node.windows]
    y = np.empty((*x.shape[:2], *context.node.shape[1:]), x.dtype)
    first = np.empty(y.shape, np.intp)
    """The place of each maximum in its window, row by row."""
    for at in np.ndindex(*y.shape[2:]):
        flat = _in_window(x, bounds, at).reshape(*x.shape[:2], -1)
        first[(..., *at)] = flat.argmax(2)
        y[(..., *at)] = flat.max(2)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros((*x.shape[:2], *sizes), dy.dtype)
        samples, channels = np.ogrid[: x.shape[0], : x.shape[1]]
        for at in np.ndindex(*y.shape[2:]):
            part = _in_window(dx, bounds, at)
            place = np.unravel_index(first[(..., *at)], part.shape[2:])
            part[(samples, channels, *place)] += dy[(..., *at)]
        return (dx,), {}

    return y, backward


def _in_window(x: Array, bounds: list[tuple[tuple[int, int], ...]], at: tuple[int, ...]) -> Array:
    """Return the elements of x [n, c, ...] under the window at a position, as a view."""
    return view(x, EVERY, EVERY, *(slice(*bounds[axis][i]) for axis, i in enumerate(at)))


def _sum_of_taps(x: Array, windows: Windows) -> Array:
    total = np.zeros((*x.shape[:2], *(window.out for window in windows)), x.dtype)
    for _, tap in taps(x, windows):
        total += tap
    return total
