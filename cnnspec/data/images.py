"""Images as arrays of pixels from 0 to 255, [c, h, w]; Pillow decodes and resizes them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO, TYPE_CHECKING

import numpy as np

from cnnspec.arrays import Array
from cnnspec.errors import InputError
from cnnspec.graph.settings import Fit
from cnnspec.layers.geometry import centred
from cnnspec.wording import format_shape

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 1 << 26
"""Larger images (8192 × 8192) are refused before they are decoded: a small file can unpack to gigabytes."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
_GREYS = ("1", "L", "LA")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
"""The Exif tag of the orientation, and its values for images rotated by 90°."""
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)
"""Pillow warns of unusual files that it reads nevertheless; what matters is checked here."""


def decode(file: IO[bytes], name: str) -> Array:
    """Return the pixels of a PNG or JPEG file, upright: [c, h, w] with 1 (grey) or 3 (RGB) channels, and alpha last.

    Palettes and CMYK are converted to RGB, and 16-bit greys to floats from 0 to 255, which keep their precision.
    """
    with _opened(file, name) as image:
        from PIL import ImageOps

        return _pixels(ImageOps.exif_transpose(image))


def shape(file: IO[bytes], name: str) -> tuple[int, int, int]:
    """Return the shape [c, h, w] that `decode` would return, from the header alone."""
    with _opened(file, name) as image:
        channels = (1 if image.mode in _GREYS or image.mode.startswith("I") else 3) + image.has_transparency_data
        height, width = image.height, image.width
        if image.format == "JPEG" or "exif" in image.info:  # for other PNG files this would decode the image
            orientation = image.getexif().get(_ORIENTATION, 1)
            height, width = (width, height) if orientation in _TURNED else (height, width)
        return channels, height, width


def may_fit(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether `fit` may take an image of that shape without `resize`: its alpha may be opaque."""
    return found == shape or (found[0] in (2, 4) and (found[0] - 1, *found[1:]) == shape)


def misfit(name: str, found: tuple[int, ...], shape: tuple[int, ...]) -> InputError:
    """Return the message for an image that does not have the shape of the network's input."""
    return InputError(
        f"`{name}` has {format_shape(found)} pixels (channels × height × width), "
        f"and the network takes {format_shape(shape)}; `--resize` (or `fit` in the spec's `input`) converts it"
    )


@contextmanager
def _opened(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """Open an image and read its header; raise InputError for any error in it, also within the block."""
    pillow = pillow_for(name)
    if _QUIET not in warnings.filters:  # not by catch_warnings, which is not safe where several threads decode
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)
    try:
        with pillow.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"`{name}` has {image.width:,} × {image.height:,} pixels; at most {MOST_PIXELS:,} are read"
                )
            yield image
    except InputError:
        raise
    except pillow.DecompressionBombError as error:
        raise InputError(f"`{name}` has too many pixels; at most {MOST_PIXELS:,} are read") from error
    except Exception as error:  # decoders raise nearly everything at broken files
        raise InputError(f"`{name}` is not a complete image: {error}") from error


def fit(pixels: Array, shape: tuple[int, ...], name: str, how: Fit) -> Array:
    """Return the image in the shape [c, h, w] of the network; another size or colour is an error, or is converted.

    `resize` stretches it to the size (bilinear, antialiased), `pad` centres it on pixels of zero; both convert colours
    to grey by their luma, repeat grey for every colour, and blend transparency with white. Fully opaque alpha is
    always dropped.
    """
    if pixels.shape != shape and len(pixels) in (2, 4) and (pixels[-1] == 255).all():
        pixels = pixels[:-1]
    if pixels.shape == shape:
        return pixels
    if how == "exact":
        raise misfit(name, pixels.shape, shape)
    return converted(pixels, shape, name, how)


def converted(pixels: Array, shape: tuple[int, ...], name: str, how: Fit) -> Array:
    """Return images in another size and colour, as `fit` says: x [..., c, h, w] -> y [..., *shape], float32."""
    channels, height, width = shape
    bands = _in_colours(pixels, channels, name).astype(np.float32)
    if how == "pad":
        h, w = bands.shape[-2:]
        if h > height or w > width:
            raise InputError(f"`{name}` is {h}×{w}, and `fit: pad` cannot make it smaller, {height}×{width}")
        top, left = centred(height, h), centred(width, w)
        padded = np.zeros((*bands.shape[:-2], height, width), np.float32)
        padded[..., top : top + h, left : left + w] = bands
        return padded
    bands = _stretched(bands, width, name)
    return _stretched(bands.swapaxes(-1, -2), height, name).swapaxes(-1, -2)


def _stretched(x: Array, width: int, name: str) -> Array:
    """Resize every row of every channel to another width (Pillow, too, resizes one axis after the other)."""
    pillow = pillow_for(name)
    rows = pillow.fromarray(np.ascontiguousarray(x).reshape(-1, x.shape[-1]))
    return np.asarray(rows.resize((width, rows.height), pillow.Resampling.BILINEAR)).reshape(*x.shape[:-1], width)


def _pixels(image: Image.Image) -> Array:
    if image.mode.startswith("I"):
        return (np.asarray(image, np.float32) / 257)[None]
    grey = image.mode in _GREYS
    if image.has_transparency_data:
        image = image.convert("LA" if grey else "RGBA")
    else:
        image = image.convert("L" if grey else "RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _in_colours(pixels: Array, channels: int, name: str) -> Array:
    """Convert between grey, RGB and alpha: [..., c, h, w] -> [..., channels, h, w]."""
    found = pixels.shape[-3]
    if found == channels:
        return pixels
    if found in (2, 4):
        colours, alpha = pixels[..., :-1, :, :], pixels[..., -1:, :, :] / np.float32(255)
        pixels = 255 + (colours.astype(np.float32) - 255) * alpha
    bands = pixels.shape[-3]
    if bands == 3 and channels == 1:
        return np.expand_dims(np.tensordot(pixels.astype(np.float32), _LUMA, (-3, 0)), -3)
    if bands == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=-3)
    if bands == channels:
        return pixels
    raise InputError(f"`{name}` has {found} channels, which cannot become the network's {channels}")


def pillow_for(name: str) -> ModuleType:
    """Return PIL.Image; raise InputError where it is not installed, which `name` needs."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(f'`{name}` needs Pillow, which is not installed: pip install "cnnspec[images]"') from error
    return Image
