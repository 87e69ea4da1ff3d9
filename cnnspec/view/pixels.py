"""Arrays as pixels: brought to the size of a picture, scaled to 0 … 1, and coloured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.settings import Input

_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
    (170, 220, 50), (253, 231, 37),
)  # fmt: skip
"""Colours at equal distances of the map viridis (van der Walt and Smith 2015), from the smallest value to the largest;
its lightness grows evenly, so that it can be read by the colour-blind and in grey."""

COLOURS = np.stack(
    [np.interp(np.linspace(0, 8, 256), range(9), channel) for channel in np.array(_VIRIDIS, float).T], axis=1
).astype(np.uint8)
"""The colour [256, 3] of each value."""


class Picture(NamedTuple):
    """A picture in colours and, for where there are none, in brightness."""

    rgb: Array
    """[h, w, 3], bytes."""
    levels: Array
    """[h, w], from 0 to 1."""


def plane(values: Array) -> Array:
    """Return the part of a feature map that a picture shows: [h, w], and of a volume [d, h, w] its middle slice."""
    return values if values.ndim < 3 else values[len(values) // 2]


def fitted(values: Array, least: int, most: int) -> Array:
    """Return [h, w, ...] with the longer side between two lengths: in means of squares, or with repeated pixels."""
    side = max(values.shape[:2])
    if side > most:
        return block_means(block_means(values, 0, -(-side // most)), 1, -(-side // most))
    times = max(1, least // side)
    return np.repeat(np.repeat(values, times, axis=0), times, axis=1)


def block_means(values: Array, axis: int, size: int) -> Array:
    """Return the means of so many values in a row along an axis; the last may be of fewer."""
    length = values.shape[axis]
    starts = np.arange(0, length, size)
    counts = np.diff(np.append(starts, length)).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    found: Array = np.add.reduceat(values.astype(float), starts, axis=axis) / counts
    return found


def scaled(values: Array, low: float, high: float) -> Array:
    """Return values from 0 to 1: `low` and less become 0, `high` and more 1; what is no number becomes 0."""
    found: Array = np.nan_to_num(np.clip((values - low) / ((high - low) or 1), 0, 1), nan=0.0)
    return found


def extent(values: Array) -> tuple[float, float]:
    """Return the smallest and the largest finite value; 0 and 0 where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def coloured(values: Array, low: float, high: float) -> Picture:
    """Return a feature map [h, w] in colours from `low` to `high`."""
    levels = scaled(values, low, high)
    return Picture(COLOURS[(levels * 255).round().astype(int)], levels)


def photograph(values: Array) -> Picture:
    """Return an image [h, w, 1 or 3] of values from 0 to 1 in its own colours."""
    rgb = np.broadcast_to(values, (*values.shape[:2], 3))
    levels: Array = rgb @ np.array([0.299, 0.587, 0.114])
    return Picture((rgb * 255).round().astype(np.uint8), levels)


def restored(values: Array, settings: Input) -> Array | None:
    """Return the image that a preprocessed one [c, h, w] was made of, as [h, w, c] from 0 to 1.

    None where it is no image: of another number of axes or channels, or with values that no pixel becomes.
    """
    if values.ndim != 3 or len(values) not in (1, 3):
        return None
    mean, std = (np.reshape(numbers, (-1, 1, 1)) for numbers in (settings.mean, settings.std))
    pixels = (values * std + mean) / settings.scale / 255
    low, high = extent(pixels)
    if low < -0.01 or high > 1.01:
        return None
    found: Array = np.moveaxis(np.clip(pixels, 0, 1), 0, -1)
    return found
