"""Images and maps resized, rotated and magnified: Pillow interpolates numbers, NumPy takes the nearest ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.augment.samples import Size
from cnnspec.data.images import pillow_for

_PURPOSE = "augment"


class Affine(NamedTuple):
    """Where a position (x, y) of the result comes from: (a·x + b·y + c, d·x + e·y + f), with pixels of size 1."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


def resized(x: Array, size: Size, *, smooth: bool) -> Array:
    """Return an image in another size, linear with antialiasing or nearest: x [c, h, w] -> y [c, *size]."""
    if x.shape[1:] == size:
        return x
    if not smooth:
        rows, columns = (
            ((np.arange(new) + 0.5) * (old / new)).astype(np.intp) for new, old in zip(size, x.shape[1:], strict=True)
        )
        return x[:, rows[:, None], columns]
    image = pillow_for(_PURPOSE)
    planes = np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32))
    height, width = size
    y = [np.asarray(image.fromarray(p).resize((width, height), image.Resampling.BILINEAR)) for p in planes]
    return np.stack(y).astype(x.dtype, copy=False)


def transformed(x: Array, how: Affine, fill: tuple[float, ...], *, smooth: bool) -> Array:
    """Return an image moved by an affine map, linear or nearest: x [c, h, w] -> y [c, h, w].

    Positions from outside of the image are filled.
    """
    if not smooth:
        return _nearest(x, how, fill)
    image = pillow_for(_PURPOSE)
    size = x.shape[2], x.shape[1]
    method, kind = image.Transform.AFFINE, image.Resampling.BILINEAR
    planes = [
        np.asarray(image.fromarray(plane).transform(size, method, how, kind, fillcolor=value))
        for plane, value in zip(x.astype(np.float32), fill, strict=True)
    ]
    y = np.stack(planes)
    return (np.rint(y) if x.dtype.kind == "u" else y).astype(x.dtype, copy=False)


def _nearest(x: Array, how: Affine, fill: tuple[float, ...]) -> Array:
    height, width = x.shape[1:]
    to_x, to_y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    from_x = np.floor(how.a * to_x + how.b * to_y + how.c)
    from_y = np.floor(how.d * to_x + how.e * to_y + how.f)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    columns, rows = (np.where(inside, at, 0).astype(np.intp) for at in (from_x, from_y))
    return np.where(inside, x[:, rows, columns], np.reshape(fill, (-1, 1, 1))).astype(x.dtype)
