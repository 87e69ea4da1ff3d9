"""What the targets of samples in files are made from: values, masks, other images, or the samples themselves."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from cnnspec.arrays import Array, Pixels
from cnnspec.data import images, inputs, pictures
from cnnspec.data.pictures import Pictures
from cnnspec.errors import DataError, InputError
from cnnspec.graph.settings import Input
from cnnspec.wording import format_shape

WHITE = 255


class Image(NamedTuple):
    """The image of a sample, before augmentation."""

    name: str
    pixels: Array
    """[c, h, w] of the size that augmentation takes: the network's, or its own where augmentation crops."""
    size: tuple[int, ...]
    """Height and width of the file."""
    uncropped: bool
    """Whether augmentation is to crop it."""


class Target(Protocol):
    """What the targets of an output are made from; picklable."""

    def read(self, index: int, image: Image) -> Array:
        """Return the target of a sample before augmentation, which moves maps of the image's size with it."""

    def finish(self, values: Array) -> Array:
        """Return the targets of a batch after augmentation as the loss takes them: [n, ...]."""

    def decode(self, index: int) -> None:
        """Decode the files of a target alone; raise BrokenFileError where that fails."""


class Values:
    """Targets that are known before files are opened: classes [n], or labels or numbers [n, ...]."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def read(self, index: int, image: Image) -> Array:
        """Return the row of a sample."""
        return np.asarray(self.values[index])

    def finish(self, values: Array) -> Array:
        """Return the rows as they are."""
        return values

    def decode(self, index: int) -> None:
        """Do nothing: there is no file."""


class SampleItself:
    """The image of the sample, moved as augmentation moves it, without other changes of its pixels."""

    def __init__(self, graph_input: Input) -> None:
        self.input = graph_input

    def read(self, index: int, image: Image) -> Array:
        """Return the pixels of the sample: [c, h, w]."""
        return image.pixels

    def finish(self, values: Array) -> Array:
        """Return pixels scaled as the input is."""
        return scaled(values, self.input)

    def decode(self, index: int) -> None:
        """Do nothing: there is no other file."""


class PictureTarget:
    """Another image for each sample, scaled as the network's input is."""

    def __init__(self, pictures: Pictures, wanted: Input) -> None:
        self.pictures = pictures
        self.wanted = wanted
        """The shape of the output, and the preprocessing."""

    def read(self, index: int, image: Image) -> Array:
        """Return the pixels of the image in the shape of the output: [c, h, w]."""
        pixels = pictures.decoded(self.pictures, index)
        name = self.pictures.name(index)
        shape = self.wanted.shape
        if image.uncropped:
            if pixels.shape[1:] != image.size:
                raise DataError(
                    f"`{name}` is {format_shape(pixels.shape[1:])}, and its input `{image.name}` is "
                    f"{format_shape(image.size)}: augmentation crops both alike, so save them in one size"
                )
            shape = (shape[0], *image.size)
        return fitted(pixels, shape, name, self.wanted)

    def finish(self, values: Array) -> Array:
        """Return pixels scaled as the input is."""
        return scaled(values, self.wanted)

    def decode(self, index: int) -> None:
        """Decode the image."""
        pictures.decoded(self.pictures, index)


class MaskTarget:
    """The class of each pixel, from a mask as large as the image; checked when it is decoded."""

    def __init__(
        self, pictures: Pictures, graph_input: Input, *, classes: int, ignore: int | None, binary: bool, numbers: bool
    ) -> None:
        self.pictures = pictures
        self.input = graph_input
        self.classes = classes
        self.ignore = ignore
        """The value of pixels that do not count."""
        self.binary = binary
        """Whether masks of 0 and 255 stand for 0 and 1."""
        self.numbers = numbers
        """Whether a target has numbers and a channel, not indices."""

    def read(self, index: int, image: Image) -> Array:
        """Return the mask in the size of the pixels: [h, w], or [1, h, w] of numbers.

        Raises DataError for a mask of another size than its image, and for values that are no class.
        """
        name = self.pictures.name(index)
        mask = pictures.decoded_mask(self.pictures, index)
        if mask.shape != image.size:
            raise DataError(
                f"the mask `{name}` is {format_shape(mask.shape)}, and its image `{image.name}` is "
                f"{format_shape(image.size)} (height × width): save the mask in the size of the image"
            )
        height, width = image.pixels.shape[1:]
        mask = self._checked(mask, name)
        outside = 0 if self.ignore is None else self.ignore
        if outside > np.iinfo(mask.dtype).max:
            mask = mask.astype(np.int64)
        try:
            mask = images.fit_mask(mask, (height, width), name, self.input.fit, outside)
        except InputError as error:
            raise DataError(str(error)) from error
        return mask[None] if self.numbers else mask

    def finish(self, values: Array) -> Array:
        """Return class indices, int64, or numbers, float32."""
        return values.astype(np.float32 if self.numbers else np.int64)

    def decode(self, index: int) -> None:
        """Decode the mask."""
        pictures.decoded_mask(self.pictures, index)

    def _checked(self, mask: Array, name: str) -> Array:
        values = mask_values(mask)
        if self.binary and self.ignore != WHITE and values[-1] == WHITE and set(values.tolist()) <= {0, WHITE}:
            return mask // WHITE
        wrong = [int(value) for value in values if not 0 <= value < self.classes and value != self.ignore]
        if wrong:
            row, column = map(int, np.argwhere(mask == wrong[0])[0])
            listed = ", ".join(map(str, wrong[:5])) + ("…" if len(wrong) > 5 else "")
            raise DataError(
                f"the mask `{name}` has the value{'s' if len(wrong) > 1 else ''} {listed}, first at row {row}, column "
                f"{column}, and the classes are 0 to {self.classes - 1}: write the index of a class there, or leave "
                f"such pixels out with `ignore: {wrong[0]}` of a loss that has it"
            )
        return mask


def mask_values(mask: Array) -> Array:
    """Return the values that occur in a mask, ascending."""
    values: Array = np.flatnonzero(np.bincount(mask.ravel())) if mask.dtype == np.uint8 else np.unique(mask)
    return values


def fitted(pixels: Array, shape: tuple[int, ...], name: str, wanted: Input) -> Array:
    """Return pixels in a shape, converted as `fit` of an input says; raise DataError where they do not fit."""
    try:
        return images.fit(pixels, shape, name, wanted.fit)
    except InputError as error:
        raise DataError(str(error)) from error


def scaled(pixels: Array, wanted: Input) -> Array:
    """Return pixels as the numbers that an input makes of them: [n, c, h, w], float32."""
    if pixels.dtype == np.uint8:
        return np.asarray(Pixels(pixels, inputs.levels(wanted)))
    x = np.empty(pixels.shape, np.float32)
    for i, one in enumerate(pixels):  # a batch in float64 takes twice its memory
        x[i] = inputs.scaled(one[None], wanted)[0]
    return x
