"""Windows over frames. A frame is an image with its padding around it; a tap is one element of every window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers.geometry import Pads

NO_PADS = Pads(0, 0, 0, 0)


class Window(NamedTuple):
    """A window over height and width, and at how many places it stands."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    places: tuple[int, int]


def framed(x: Array, pads: Pads, overhang: tuple[int, int] = (0, 0), value: float = 0.0) -> Array:
    """x [n, c, h, w] with its border -> [n, c, H, W]; x itself where there is none."""
    if not any(pads) and not any(overhang):
        return x
    n, c, h, w = x.shape
    shape = (n, c, pads.top + h + pads.bottom + overhang[0], pads.left + w + pads.right + overhang[1])
    frame = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    unframed(frame, pads, (h, w))[...] = x
    return frame


def unframed(frame: Array, pads: Pads, size: tuple[int, int]) -> Array:
    """The image without its border, a view: [n, c, H, W] -> [n, c, h, w]."""
    return frame[:, :, pads.top : pads.top + size[0], pads.left : pads.left + size[1]]


def taps(frame: Array, window: Window) -> Iterator[tuple[int, int, Array]]:
    """Row and column of each tap, in order, and what it sees: a view [n, c, oh, ow]."""
    (kh, kw), (sh, sw), (dh, dw), (oh, ow) = window
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            yield i, j, frame[:, :, top : top + (oh - 1) * sh + 1 : sh, left : left + (ow - 1) * sw + 1 : sw]
