"""Layers that move numbers about."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.geometry import centred
from cnnspec.layers.shape import ChannelShuffle, Crop, Pad, Slice, Upsample
from cnnspec_numpy.kernels.base import Call, Result
from cnnspec_numpy.kernels.window import NO_PADS, framed, unframed


def resampled(x: Array, rows: Array, columns: Array) -> Result:
    """Weighted sums along height and width: x [n, c, h, w], rows [oh, h], columns [ow, w] -> y [n, c, oh, ow]."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (rows.T @ dy @ columns,), {}

    return rows @ x @ columns.T, backward


def upsample(call: Call[Upsample], x: Array) -> Result:
    """Each number repeated, or interpolated between half-pixel centres."""
    sh, sw = call.layer.scale
    if call.layer.mode == "bilinear":
        return resampled(x, _bilinear(x.shape[2], sh, x.dtype), _bilinear(x.shape[3], sw, x.dtype))
    n, c, h, w = x.shape

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(n, c, h, sh, w, sw).sum((3, 5)),), {}

    repeated = np.broadcast_to(x[:, :, :, None, :, None], (n, c, h, sh, w, sw))
    return repeated.reshape(n, c, h * sh, w * sw), backward


def _bilinear(n: int, scale: int, dtype: np.dtype[np.generic]) -> Array:
    """What each of n·scale samples takes from n numbers: [n·scale, n]."""
    at = np.clip((np.arange(n * scale) + 0.5) / scale - 0.5, 0, n - 1)
    # The tent function: 1 at the number itself, 0 at its neighbours.
    return np.maximum(0, 1 - abs(at[:, None] - np.arange(n))).astype(dtype)


def pad(call: Call[Pad], x: Array) -> Result:
    """x with a border."""
    layer, pads = call.layer, call.node.pads or NO_PADS
    h, w = x.shape[2:]
    if layer.mode == "constant":

        def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
            return (unframed(dy, pads, (h, w)),), {}

        return framed(x, pads, value=layer.value), backward

    from_row = np.pad(np.arange(h), (pads.top, pads.bottom), layer.mode)
    from_column = np.pad(np.arange(w), (pads.left, pads.right), layer.mode)

    def mirrored_back(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        rows, columns = np.eye(h, dtype=dy.dtype)[from_row], np.eye(w, dtype=dy.dtype)[from_column]
        return (rows.T @ dy @ columns,), {}

    return x[:, :, from_row[:, None], from_column], mirrored_back


def crop(call: Call[Crop], x: Array) -> Result:
    """The middle of x."""
    (oh, ow), (h, w) = call.layer.size, x.shape[2:]
    top, left = centred(h, oh), centred(w, ow)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros_like(x)
        dx[:, :, top : top + oh, left : left + ow] = dy
        return (dx,), {}

    return x[:, :, top : top + oh, left : left + ow].copy(), backward


def channel_shuffle(call: Call[ChannelShuffle], x: Array) -> Result:
    """The channels as a table of groups, read the other way."""
    n, c, h, w = x.shape
    groups = call.layer.groups

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy.reshape(n, c // groups, groups, h, w).swapaxes(1, 2).reshape(x.shape),), {}

    return x.reshape(n, groups, c // groups, h, w).swapaxes(1, 2).reshape(x.shape), backward


def slice(call: Call[Slice], x: Array) -> Result:
    """Some of the channels."""
    first, end = call.layer.channels

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dx = np.zeros_like(x)
        dx[:, first:end] = dy
        return (dx,), {}

    return x[:, first:end].copy(), backward
