"""Arrays as pictures: maps as levels, each by itself or around 0, and PNG in `data:` URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from cnnspec.arrays import Array
from cnnspec.view import sheets


def normalised(maps: Array) -> Array:
    """Return maps as levels, each from its least number to its largest: [k, h, w] -> [k, h, w], uint8."""
    low = maps.min(axis=(1, 2), keepdims=True)
    return sheets.levels(maps, low, maps.max(axis=(1, 2), keepdims=True))


def signed(maps: Array) -> Array:
    """Return maps as levels around 0, which is the middle one: [k, h, w] -> [k, h, w], uint8."""
    largest = np.abs(maps).max(initial=0.0)
    return sheets.levels(maps, -largest, largest) if largest else np.full(maps.shape, sheets.TOP // 2, np.uint8)


def levels_uri(levels: Array, colours: str) -> str:
    """Return levels [h, w] as a PNG in a `data:` URI, with the colour map of that name in Matplotlib."""
    from matplotlib import colormaps

    return _uri(sheets.png(levels, colormaps[colours](np.linspace(0, 1, sheets.TOP + 1), bytes=True)[:, :3]))


def pixels_uri(pixels: Array, *, gaps: bool = False) -> str:
    """Return a picture as a PNG in a `data:` URI: uint8 [1, h, w] or [3, h, w]; with `gaps`, white is transparent."""
    from PIL import Image

    c, h, w = pixels.shape
    mode = "L" if c == 1 else "RGB"
    picture = Image.frombytes(mode, (w, h), np.ascontiguousarray(pixels.transpose(1, 2, 0)).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True, **({"transparency": (sheets.GAP,) * 3} if gaps else {}))
    return _uri(stream.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether samples of a shape are grey or coloured images."""
    return len(shape) == 3 and shape[0] in (1, 3)
