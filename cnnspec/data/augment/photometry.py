"""Photometric transforms, which change the numbers of an image and leave its maps as they are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.augment.draws import Draws
from cnnspec.data.augment.geometry import ATTEMPTS, rectangles
from cnnspec.data.augment.samples import Samples, Size
from cnnspec.graph.training import Blur, ColorJitter, Erase, Grey, Noise

TRUNCATED = 3.0
"""Standard deviations at which a Gaussian kernel ends."""


def color_jitter(how: ColorJitter, x: Samples, draws: Draws, size: Size) -> Samples:
    """Change brightness, contrast, saturation and hue of each image in random order."""
    image = x.floats()
    changes = [name for name in _CHANGES if name not in ("saturation", "hue") or name in how.colours]
    factors = {name: draws.uniform(1 + i, *getattr(how, name)) for i, name in enumerate(_CHANGES)}
    order = np.argsort([draws.uniform(1 + len(_CHANGES) + i) for i in range(len(changes))], axis=0)  # [changes, n]
    for turn in order:
        for i, name in enumerate(changes):
            rows = np.flatnonzero(turn == i)
            if len(rows):
                factor = factors[name][rows].astype(np.float32)[:, None, None, None]
                image[rows] = np.clip(_CHANGES[name](image[rows], factor), 0, 255)
    return x.rounded(image)


def luma(image: Array) -> Array:
    """Return the luma of images (ITU-R BT.601), the mean of other than three channels: [n, c, h, w] -> [n, 1, h, w]."""
    if image.shape[1] != 3:
        return np.asarray(image.mean(axis=1, keepdims=True))
    red, green, blue = (image[:, i : i + 1] for i in range(3))
    found: Array = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return found


def _brightness(image: Array, factor: Array) -> Array:
    return np.multiply(image, factor)


def _contrast(image: Array, factor: Array) -> Array:
    # one by one, since the rounding of a sum over several samples may depend on their number
    means = np.array([one.mean(dtype=np.float64) for one in luma(image)], np.float32)
    return np.asarray(image * factor + (1 - factor) * means[:, None, None, None])


def _saturation(image: Array, factor: Array) -> Array:
    return np.asarray(image * factor + (1 - factor) * luma(image))


def _hue(image: Array, turn: Array) -> Array:
    """Return images whose hue is shifted, by way of hexagonal HSV (Smith 1978): [n, 3, h, w]."""
    value = image.max(axis=1)
    chroma = value - image.min(axis=1)
    red, green, blue = image[:, 0], image[:, 1], image[:, 2]
    of_red, of_green = value == red, value == green
    difference = np.where(of_red, green - blue, np.where(of_green, blue - red, red - green))
    corner = np.where(of_red, np.float32(0), np.where(of_green, np.float32(2), np.float32(4)))
    hue = difference / np.where(chroma > 0, chroma, 1) + corner + 6 * turn[:, 0]
    hue -= 6 * np.floor(hue / 6)  # in [0, 6), sixths of the circle from red on
    found = np.empty_like(image)
    for channel, opposite in enumerate((5, 3, 1)):
        k = hue + opposite
        k -= 6 * (k >= 6)
        found[:, channel] = value - chroma * np.clip(np.minimum(k, 4 - k), 0, 1)
    return found


_CHANGES: dict[str, Callable[[Array, Array], Array]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
}


def grey(how: Grey, x: Samples, draws: Draws, size: Size) -> Samples:
    """Put the luma into every channel."""
    image = x.floats()
    return x.rounded(np.broadcast_to(luma(image), image.shape))


def erase(how: Erase, x: Samples, draws: Draws, size: Size) -> Samples:
    """Replace a random rectangle of each image."""
    rows, columns = x.image.size
    height, width, _ = rectangles(how.area, how.ratio, (rows, columns), (rows - 1, columns - 1), draws, 1)
    last = 1 + 2 * ATTEMPTS
    top, left = draws.below(last, rows - height + 1), draws.below(last + 1, columns - width + 1)
    image = x.image.values.copy()
    for i in np.flatnonzero(height).tolist():
        hole = image[i, :, top[i] : top[i] + height[i], left[i] : left[i] + width[i]]
        hole[:] = draws.stream(last + 2, i).integers(256, size=hole.shape) if how.fill == "random" else how.fill
    return x.painted(image)


def noise(how: Noise, x: Samples, draws: Draws, size: Size) -> Samples:
    """Add Gaussian noise to each number."""
    image = x.floats()
    for i, std in enumerate(draws.uniform(1, *how.std).astype(np.float32)):
        image[i] += std * draws.stream(2, i).standard_normal(image.shape[1:], np.float32)
    return x.rounded(image)


def blur(how: Blur, x: Samples, draws: Draws, size: Size) -> Samples:
    """Convolve each image with a Gaussian."""
    sigmas = draws.uniform(1, *how.sigma)
    return x.rounded(np.stack([_blurred(one, sigma) for one, sigma in zip(x.floats(), sigmas, strict=True)]))


def _blurred(image: Array, sigma: float) -> Array:
    """Return an image [c, h, w] convolved with a Gaussian along both axes; the border mirrors it."""
    radius = math.ceil(TRUNCATED * sigma)
    if not radius:
        return image
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (1, 2):
        length = image.shape[axis]
        margins = [(radius, radius) if other == axis else (0, 0) for other in range(3)]
        framed = np.moveaxis(np.pad(image, margins, mode="reflect"), axis, 0)
        total = kernel[0] * framed[:length]
        for i, weight in enumerate(kernel[1:], 1):
            total += weight * framed[i : i + length]
        image = np.moveaxis(total, 0, axis)
    return image
