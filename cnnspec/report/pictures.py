"""Arrays as pictures: maps scaled to levels, put side by side, and encoded as PNG."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array

GAP = 255
"""The level of the lines between maps, which is transparent; values have those below it."""
TOP = 254


def normalised(maps: Array) -> Array:
    """Return maps as levels, each from its least number to its largest: [k, h, w] -> [k, h, w], uint8."""
    low = maps.min(axis=(1, 2), keepdims=True)
    return _levels(maps, low, maps.max(axis=(1, 2), keepdims=True))


def signed(maps: Array) -> Array:
    """Return maps as levels around 0, which is the middle one: [k, h, w] -> [k, h, w], uint8."""
    largest = np.abs(maps).max(initial=0.0)
    return _levels(maps, -largest, largest) if largest else np.full(maps.shape, TOP // 2, np.uint8)


def _levels(values: Array, low: Array | float, high: Array | float) -> Array:
    """Return finite values from `low` to `high` as levels from 0 to TOP; everything is 0 where both are the same."""
    values, low, high = (np.asarray(a, np.float64) for a in (values, low, high))
    reach = np.where(high > low, high - low, 1.0)
    found = np.nan_to_num((values - low) / reach, posinf=1.0, neginf=0.0).clip(0, 1)
    levels: Array = np.rint(found * TOP).astype(np.uint8)
    return levels


def shrunk(maps: Array, most: int) -> Array:
    """Return maps whose sides are at most `most`, each number the mean of a block: [k, h, w] -> [k, oh, ow]."""
    for axis in (1, 2):
        n = maps.shape[axis]
        if (block := math.ceil(n / most)) > 1:
            starts = np.arange(0, n, block)
            counts = np.diff(np.append(starts, n)).reshape([-1 if i == axis else 1 for i in range(3)])
            maps = np.add.reduceat(maps, starts, axis=axis) / counts
    return maps


def side_by_side(maps: Array, columns: int) -> Array:
    """Return maps in rows of so many, with lines of one pixel between them: uint8 [k, h, w] -> [oh, ow]."""
    k, h, w = maps.shape
    rows = math.ceil(k / columns)
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), GAP, np.uint8)
    for i, one in enumerate(maps):
        top, left = i // columns * (h + 1), i % columns * (w + 1)
        sheet[top : top + h, left : left + w] = one
    return sheet


def levels_uri(levels: Array, colours: str) -> str:
    """Return levels [h, w] as a PNG in a `data:` URI, with the colour map of that name in Matplotlib."""
    from matplotlib import colormaps
    from PIL import Image

    picture = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
    palette = colormaps[colours](np.linspace(0, 1, TOP + 1), bytes=True)[:, :3]
    picture.putpalette([*palette.ravel().tolist(), 0, 0, 0])
    return _uri(picture, transparency=GAP)


def pixels_uri(pixels: Array, *, gaps: bool = False) -> str:
    """Return a picture as a PNG in a `data:` URI: uint8 [1, h, w] or [3, h, w]; with `gaps`, white is transparent."""
    from PIL import Image

    c, h, w = pixels.shape
    mode = "L" if c == 1 else "RGB"
    picture = Image.frombytes(mode, (w, h), np.ascontiguousarray(pixels.transpose(1, 2, 0)).tobytes())
    return _uri(picture, **({"transparency": (GAP,) * 3} if gaps else {}))


def _uri(picture: object, **options: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True, **options)  # type: ignore[attr-defined]
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether samples of a shape are grey or coloured images."""
    return len(shape) == 3 and shape[0] in (1, 3)
