"""Pictures as arrays of pixels from 0 to 255, [c, h, w]; Pillow decodes and scales them."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import IO, TYPE_CHECKING

import numpy as np

from cnnspec.backend import Array, InputError
from cnnspec.layers.base import by

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 1 << 26
"""Larger pictures (8192 × 8192) are refused before they are decoded: a small file can unpack to gigabytes."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


def decode(file: IO[bytes], name: str) -> Array:
    """The pixels of a PNG or JPEG file, upright: [c, h, w] with 1 (grey) or 3 (RGB) channels, and alpha last.

    Palettes and CMYK become RGB. 16-bit greys are brought to 0–255 as floats, so that no precision is lost.
    """
    pillow = _pillow(name)
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pictures of doubtful form; what counts is checked here
            with pillow.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise InputError(
                        f"`{name}` has {image.width:,} × {image.height:,} pixels; at most {MOST_PIXELS:,} are read"
                    )
                return _pixels(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except pillow.DecompressionBombError as error:
        raise InputError(f"`{name}` has too many pixels; at most {MOST_PIXELS:,} are read") from error
    except Exception as error:  # decoders raise nearly everything at broken files
        raise InputError(f"`{name}` is not a whole picture: {error}") from error


def fit(pixels: Array, shape: tuple[int, ...], name: str, *, resize: bool) -> Array:
    """The picture in the shape [c, h, w] that a network takes; another size or colour is an error, or is converted.

    With `resize` it is stretched to the size (bilinear, antialiased), colours become grey by their luma, grey is
    repeated for every colour, and transparent places show white, as on a page. Fully opaque alpha is dropped always.
    """
    if pixels.shape != shape and len(pixels) in (2, 4) and (pixels[-1] == 255).all():
        pixels = pixels[:-1]
    if pixels.shape == shape:
        return pixels
    if not resize:
        raise InputError(
            f"`{name}` has {by(pixels.shape)} pixels (channels × height × width), "
            f"and the network takes {by(shape)}; `--resize` converts it"
        )
    channels, height, width = shape
    pillow = _pillow(name)
    bands = [
        np.asarray(pillow.fromarray(band.astype(np.float32)).resize((width, height), pillow.Resampling.BILINEAR))
        for band in _in_colours(pixels, channels, name)
    ]
    return np.stack(bands)


def _pixels(image: Image.Image) -> Array:
    if image.mode.startswith("I"):
        return (np.asarray(image, np.float32) / 257)[None]
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("LA" if grey else "RGBA")
    else:
        image = image.convert("L" if grey else "RGB")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _in_colours(pixels: Array, channels: int, name: str) -> Array:
    if len(pixels) == channels:
        return pixels
    if len(pixels) in (2, 4):
        alpha = pixels[-1] / np.float32(255)
        pixels = 255 + (pixels[:-1].astype(np.float32) - 255) * alpha
    if len(pixels) == 3 and channels == 1:
        return np.tensordot(_LUMA, pixels.astype(np.float32), 1)[None]
    if len(pixels) == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=0)
    if len(pixels) == channels:
        return pixels
    raise InputError(f"`{name}` has {len(pixels)} channels, which cannot become the network's {channels}")


def _pillow(name: str) -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(f'`{name}` needs Pillow, which is not installed: pip install "cnnspec[images]"') from error
    return Image
