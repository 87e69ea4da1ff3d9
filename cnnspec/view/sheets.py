"""Maps side by side as one picture of levels, and that as a PNG in colours."""

from __future__ import annotations

import io
import math

import numpy as np

from cnnspec.arrays import Array
from cnnspec.view import pixels

TOP = 254
"""The highest level."""
GAP = 255
"""What stands for no value, as between maps; it is transparent."""
VIRIDIS = pixels.COLOURS[np.rint(np.linspace(0, 255, TOP + 1)).astype(int)]
"""The colour [255, 3] of each level."""


def levels(values: Array, low: Array | float, high: Array | float) -> Array:
    """Return values from `low` to `high` as levels, uint8; all are 0 where both are the same, and so is no number."""
    values, low, high = (np.asarray(a, np.float64) for a in (values, low, high))
    reach = np.where(high > low, high - low, 1.0)
    found = np.nan_to_num((values - low) / reach, posinf=1.0, neginf=0.0).clip(0, 1)
    rounded: Array = np.rint(found * TOP).astype(np.uint8)
    return rounded


def shrunk(maps: Array, most: int) -> Array:
    """Return maps whose sides are at most `most`, each number the mean of a block: [k, h, w] -> [k, oh, ow]."""
    for axis in (1, 2):
        if (block := math.ceil(maps.shape[axis] / most)) > 1:
            maps = pixels.block_means(maps, axis, block)
    return maps


def side_by_side(maps: Array, columns: int, gap: int = 1) -> Array:
    """Return levels in rows of so many maps, with gaps of so many pixels between them: [k, h, w] -> [oh, ow]."""
    k, h, w = maps.shape
    rows, columns = math.ceil(k / columns), min(columns, k)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), GAP, np.uint8)
    for i, one in enumerate(maps):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = one
    return sheet


def png(sheet: Array, colours: Array = VIRIDIS) -> bytes:
    """Return levels [h, w] as a PNG in the colours [255, 3]; raise ImportError without Pillow."""
    from PIL import Image

    picture = Image.frombytes("P", sheet.shape[::-1], np.ascontiguousarray(sheet).tobytes())
    picture.putpalette([*colours.ravel().tolist(), 0, 0, 0])
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True, transparency=GAP)
    return stream.getvalue()
