"""Pooling."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.geometry import adaptive_bounds
from cnnspec.layers.pool import AdaptiveAvgPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool, Pool
from cnnspec_numpy.kernels.base import Call, Result
from cnnspec_numpy.kernels.shape import resampled
from cnnspec_numpy.kernels.window import NO_PADS, Window, framed, taps, unframed


def max_pool(call: Call[MaxPool], x: Array) -> Result:
    """y = the largest tap; the gradient goes to the first of the largest."""
    pads, window = call.node.pads or NO_PADS, _window(call)
    y = np.full((*x.shape[:2], *window.places), -np.inf, x.dtype)
    for _, _, tap in taps(_border_never_wins(call, x), window):
        np.maximum(y, tap, out=y)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        frame = _border_never_wins(call, x)
        dframe = np.zeros_like(frame)
        dy = dy.copy()  # what is not yet given away
        for (_, _, tap), (_, _, dx) in zip(taps(frame, window), taps(dframe, window), strict=True):
            given = dy * (tap == y)
            dx += given
            dy -= given
        return (unframed(dframe, pads, (x.shape[2], x.shape[3])),), {}

    return y, backward


def avg_pool(call: Call[AvgPool], x: Array) -> Result:
    """y = Σ taps / how many of them count."""
    pads, window = call.node.pads or NO_PADS, _window(call)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    counted = framed(framed(ones, pads, value=float(call.layer.count_padding)), NO_PADS, call.node.overhang)
    share = 1 / _sum_of_taps(counted, window)
    y = _sum_of_taps(framed(x, pads, call.node.overhang), window) * share

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dframe = np.zeros((*x.shape[:2], *counted.shape[2:]), x.dtype)
        given = dy * share
        for _, _, dx in taps(dframe, window):
            dx += given
        return (unframed(dframe, pads, (x.shape[2], x.shape[3])),), {}

    return y, backward


def global_avg_pool(call: Call[GlobalAvgPool], x: Array) -> Result:
    """y = mean of each channel."""
    area = x.shape[2] * x.shape[3]

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (np.broadcast_to((dy / area)[:, :, None, None], x.shape),), {}

    return x.mean((2, 3)), backward


def global_max_pool(call: Call[GlobalMaxPool], x: Array) -> Result:
    """y = the largest of each channel; the gradient goes to the first of the largest."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros((*x.shape[:2], x.shape[2] * x.shape[3]), x.dtype)
        first = x.reshape(dx.shape).argmax(2)
        np.put_along_axis(dx, first[:, :, None], dy[:, :, None], 2)
        return (dx.reshape(x.shape),), {}

    return x.max((2, 3)), backward


def adaptive_avg_pool(call: Call[AdaptiveAvgPool], x: Array) -> Result:
    """y = mean of each window: of rows first, then of columns."""

    def means(n: int, out: int) -> Array:
        matrix = np.zeros((out, n), x.dtype)
        for row, (start, end) in zip(matrix, adaptive_bounds(n, out), strict=True):
            row[start:end] = 1 / (end - start)
        return matrix

    _, oh, ow = call.node.shape
    return resampled(x, means(x.shape[2], oh), means(x.shape[3], ow))


def _window(call: Call[MaxPool] | Call[AvgPool]) -> Window:
    layer: Pool = call.layer
    _, oh, ow = call.node.shape
    return Window(layer.kernel, layer.moves, (1, 1), (oh, ow))


def _border_never_wins(call: Call[MaxPool], x: Array) -> Array:
    return framed(x, call.node.pads or NO_PADS, call.node.overhang, -np.inf)


def _sum_of_taps(frame: Array, window: Window) -> Array:
    total = np.zeros((*frame.shape[:2], *window.places), frame.dtype)
    for _, _, tap in taps(frame, window):
        total += tap
    return total
