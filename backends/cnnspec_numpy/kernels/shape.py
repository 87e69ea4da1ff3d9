"""Layers that repeat, move, add or drop numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.shape import ChannelShuffle, Crop, Pad, Slice, Upsample
from cnnspec_numpy.kernels.base import Context, Result
from cnnspec_numpy.kernels.border import along_axes, bordered, bordered_backward
from cnnspec_numpy.kernels.window import pad_axes, pads_of, view


def weighted_sums(x: Array, matrices: Sequence[Array]) -> Result:
    """Weighted sums along each spatial axis: x [n, c, h, w], matrices [oh, h] and [ow, w] -> y [n, c, oh, ow]."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (along_axes(dy, [matrix.T for matrix in matrices]),), {}

    return along_axes(x, matrices), backward


def upsample(context: Context[Upsample], x: Array) -> Result:
    """Each number repeated, or interpolated between half-pixel centres."""
    scales, sizes = context.layer.scales(context.node.shape), x.shape[2:]
    if context.layer.mode != "nearest":
        return weighted_sums(x, [interpolation(n, s, x.dtype) for n, s in zip(sizes, scales, strict=True)])
    # Each spatial axis is followed by one of the repetitions: [n, c, h, sh, w, sw].
    separate = (*x.shape[:2], *(n for pair in zip(sizes, scales, strict=True) for n in pair))
    repetitions = tuple(range(3, len(separate), 2))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(separate).sum(repetitions),), {}

    repeated = np.broadcast_to(np.expand_dims(x, repetitions), separate)
    return repeated.reshape(*x.shape[:2], *context.node.shape[1:]), backward


def interpolation(n: int, scale: int, dtype: np.dtype[np.generic]) -> Array:
    """Return what each of n·scale samples takes from n numbers: [n·scale, n]."""
    at = np.clip((np.arange(n * scale) + 0.5) / scale - 0.5, 0, n - 1)
    # The tent function: 1 at the number itself, 0 at its neighbours.
    return np.maximum(0, 1 - abs(at[:, None] - np.arange(n))).astype(dtype)


def pad(context: Context[Pad], x: Array) -> Result:
    """x with a border."""
    layer, pads, sizes = context.layer, pads_of(context.node.windows), x.shape[2:]

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (bordered_backward(dy, pads, sizes, layer.mode),), {}

    y = pad_axes(x, pads, layer.value) if layer.mode == "constant" else bordered(x, pads, layer.mode)
    return y, backward


def crop(context: Context[Crop], x: Array) -> Result:
    """The middle of x."""
    windows = context.node.windows
    kept = [slice(-window.before, window.out - window.before) for window in windows]

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros_like(x)
        view(dx, ..., *kept)[...] = dy
        return (dx,), {}

    return view(x, ..., *kept).copy(), backward


def channel_shuffle(context: Context[ChannelShuffle], x: Array) -> Result:
    """The channels as a table of groups, read the other way."""
    n, c, groups = *x.shape[:2], context.layer.groups
    size = math.prod(x.shape[2:])

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(n, c // groups, groups, size).swapaxes(1, 2).reshape(x.shape),), {}

    return x.reshape(n, groups, c // groups, size).swapaxes(1, 2).reshape(x.shape), backward


def slice_(context: Context[Slice], x: Array) -> Result:
    """Some of the channels, or of the positions."""
    parts = context.layer.parts(x.shape[1:])

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros_like(x)
        view(dx, slice(None), *parts)[...] = dy
        return (dx,), {}

    return view(x, slice(None), *parts).copy(), backward
