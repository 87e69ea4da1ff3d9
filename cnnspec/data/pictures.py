"""Image files of a dataset, which are opened on demand and known by their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol, TypeVar

from cnnspec.arrays import Array
from cnnspec.data import images
from cnnspec.errors import DataError, InputError

T = TypeVar("T")

PICTURES = (".png", ".jpg", ".jpeg")
"""The suffixes of image files."""


class BrokenFileError(DataError):
    """An image file that cannot be read or decoded."""


class Pictures(Protocol):
    """Encoded images, in files or in tables; picklable, so that other processes can open them."""

    n: int
    """The number of images."""

    def name(self, index: int) -> str:
        """Return the name of an image in messages."""

    def open(self, index: int) -> AbstractContextManager[IO[bytes]]:
        """Return the stream of an image; raise OSError or BrokenFileError where it cannot be read."""


class Files:
    """Image files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.n = len(paths)

    def name(self, index: int) -> str:
        """Return the path of an image."""
        return self.paths[index]

    def open(self, index: int) -> AbstractContextManager[IO[bytes]]:
        """Return the open file of an image."""
        return Path(self.paths[index]).open("rb")


def decoded(pictures: Pictures, index: int) -> Array:
    """Return the pixels of an image as `images.decode` does: [c, h, w]; raise BrokenFileError with its name."""
    return _read(pictures, index, images.decode)


def decoded_mask(pictures: Pictures, index: int) -> Array:
    """Return the class of each pixel of a mask as `images.decode_mask` does: [h, w]; raise BrokenFileError likewise."""
    return _read(pictures, index, images.decode_mask)


def shape(pictures: Pictures, index: int) -> tuple[int, int, int]:
    """Return the shape [c, h, w] of an image from its header alone; raise BrokenFileError likewise."""
    return _read(pictures, index, images.shape)


def _read(pictures: Pictures, index: int, read: Callable[[IO[bytes], str], T]) -> T:
    name = pictures.name(index)
    try:
        with pictures.open(index) as stream:
            return read(stream, name)
    except InputError as error:
        raise BrokenFileError(str(error)) from error
    except OSError as error:
        raise BrokenFileError(f"`{name}` cannot be read: {error.strerror or error}") from error
