"""Geometric transforms, which move an image and the maps of its sample alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.augment.draws import Draws
from cnnspec.data.augment.resample import Affine, resized, transformed
from cnnspec.data.augment.samples import Raster, Samples, Size
from cnnspec.graph.training import Flip, RandomCrop, RandomResizedCrop, Rotate, Scale, Shift

ATTEMPTS = 10
"""How often a rectangle is drawn until it lies within the image."""


def shift(how: Shift, x: Samples, draws: Draws, size: Size) -> Samples:
    """Move each sample along each spatial axis."""
    if not how.pixels:
        return x
    starts = [draws.below(axis, 2 * how.pixels + 1) for axis in range(len(x.image.size))]
    return x.moved(lambda raster: _windows(raster, how.pixels, raster.size, starts))


def random_crop(how: RandomCrop, x: Samples, draws: Draws, size: Size) -> Samples:
    """Pad each image, and cut it to the network's size at a random place."""
    places = [have + 2 * how.pad - want + 1 for have, want in zip(x.image.size, size, strict=True)]
    starts = [draws.below(axis, count) for axis, count in enumerate(places)]
    return x.moved(lambda raster: _windows(raster, how.pad, size, starts))


def _windows(raster: Raster, pad: int, size: Size, starts: Sequence[Array]) -> Array:
    """Return the part of each padded sample that begins at `starts` ([n] for each axis): [n, c, *size]."""
    values = raster.values
    n, channels, *sizes = values.shape
    framed = values
    if pad:
        framed = np.empty((n, channels, *(s + 2 * pad for s in sizes)), values.dtype)
        framed[:] = np.reshape(raster.fill, (-1, *[1] * len(sizes)))
        inside: Any = (..., *(slice(pad, pad + s) for s in sizes))
        framed[inside] = values
    windows = np.lib.stride_tricks.sliding_window_view(framed, size, tuple(range(2, framed.ndim)))
    at: Any = (np.arange(n), slice(None), *starts)
    found: Array = windows[at]
    return found


def random_resized_crop(how: RandomResizedCrop, x: Samples, draws: Draws, size: Size) -> Samples:
    """Cut a random part out of each image, and resize it to the network's size."""
    top, left, height, width = parts(how.scale, how.ratio, x.image.size, draws)

    def move(raster: Raster) -> Array:
        boxes = zip(raster.values, top, left, height, width, strict=True)
        cut = (one[:, i : i + h, j : j + w] for one, i, j, h, w in boxes)
        return np.stack([resized(part, size, smooth=raster.smooth) for part in cut])

    return x.moved(move)


def parts(scale: tuple[float, float], ratio: tuple[float, float], size: Size, draws: Draws) -> tuple[Array, ...]:
    """Return random rectangles within an image as `RandomResizedCrop` describes: top, left, height, width, [n] each."""
    rows, columns = size
    height, width, found = rectangles(scale, ratio, size, size, draws, 0)
    if columns / rows < ratio[0]:
        central = max(1, round(columns / ratio[0])), columns
    elif columns / rows > ratio[1]:
        central = rows, max(1, round(rows * ratio[1]))
    else:
        central = rows, columns
    height, width = (np.where(found, one, other) for one, other in zip((height, width), central, strict=True))
    last = 2 * ATTEMPTS
    top = np.where(found, draws.below(last, rows - height + 1), (rows - height) // 2)
    left = np.where(found, draws.below(last + 1, columns - width + 1), (columns - width) // 2)
    return top, left, height, width


def rectangles(
    area: tuple[float, float], ratio: tuple[float, float], size: Size, largest: Size, draws: Draws, first: int
) -> tuple[Array, Array, Array]:
    """Return heights and widths of random rectangles, and whether one was found: [n] each.

    Their area is relative to that of the size, and none is larger than the `largest`. The numbers of the slots from
    `first` on are used, two for each attempt.
    """
    rows, columns = size
    n = len(draws.indices)
    height, width, found = np.zeros(n, np.intp), np.zeros(n, np.intp), np.zeros(n, bool)
    for attempt in range(ATTEMPTS):
        slot = first + 2 * attempt
        target = rows * columns * draws.uniform(slot, *area)
        aspect = np.exp(draws.uniform(slot + 1, math.log(ratio[0]), math.log(ratio[1])))
        w, h = np.rint(np.sqrt(target * aspect)), np.rint(np.sqrt(target / aspect))
        fits = ~found & (w > 0) & (w <= largest[1]) & (h > 0) & (h <= largest[0])
        height[fits], width[fits] = h[fits], w[fits]
        found |= fits
        if found.all():
            break
    return height, width, found


def flip(how: Flip, x: Samples, draws: Draws, size: Size) -> Samples:
    """Mirror each sample along the last axis, the one before it, or each of these."""
    for slot, name in enumerate(("horizontal", "vertical")):
        if how.axis in (name, "both"):
            x = _mirrored(x, -1 - slot, draws.happens(slot, how.probability))
    return x


def _mirrored(x: Samples, axis: int, chosen: Array) -> Samples:
    def mirror(raster: Raster) -> Array:
        values = raster.values
        return np.where(chosen.reshape(-1, *[1] * (values.ndim - 1)), np.flip(values, axis), values)

    return x.moved(mirror)


def rotate(how: Rotate, x: Samples, draws: Draws, size: Size) -> Samples:
    """Rotate each image about its centre, counter-clockwise."""
    angles = np.radians(draws.uniform(1, *how.degrees))
    # rounded, so that multiples of 90° move pixels to pixels
    turns = [(round(math.cos(angle), 15), round(math.sin(angle), 15)) for angle in angles]
    return _about_centre(x, [(cos, -sin, sin, cos) for cos, sin in turns])


def scale(how: Scale, x: Samples, draws: Draws, size: Size) -> Samples:
    """Magnify each image about its centre."""
    factors = draws.uniform(1, *how.factor)
    return _about_centre(x, [(1 / factor, 0.0, 0.0, 1 / factor) for factor in factors])


def _about_centre(x: Samples, matrices: Sequence[tuple[float, float, float, float]]) -> Samples:
    """Return each sample moved by a linear map (from the result back to the image) that leaves its centre in place."""
    rows, columns = x.image.size
    maps = [
        Affine(a, b, (columns - a * columns - b * rows) / 2, d, e, (rows - d * columns - e * rows) / 2)
        for a, b, d, e in matrices
    ]

    def move(raster: Raster) -> Array:
        pairs = zip(raster.values, maps, strict=True)
        return np.stack([transformed(one, how, raster.fill, smooth=raster.smooth) for one, how in pairs])

    return x.moved(move)
