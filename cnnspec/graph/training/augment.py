"""Augmentation: random changes of training samples, drawn anew for each sample in each epoch.

A pixel is a number from 0 to 255, before it is scaled as the spec's `input` says. Geometric transforms move an image
together with the maps among its targets; photometric ones change the pixels of the image alone.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.graph.settings import Choice, UnitInterval
from cnnspec.graph.training.ranges import Around0, Around1, Degrees, Fill, Fractions, Interval, Ratios
from cnnspec.layers import Shape
from cnnspec.layers.fields import Natural, fault
from cnnspec.wording import describe, format_shape, noun


class Transform(Choice):
    """A random change of a training sample."""

    spatial_axes: ClassVar[tuple[int, ...]] = (2,)
    """The numbers of spatial axes of the samples that it can change."""
    geometric: ClassVar[bool] = False
    """Whether it moves pixels, and the maps among the targets with them."""
    crops: ClassVar[bool] = False
    """Whether it takes images of another size, and makes them as large as the network's input."""
    only_pixels: ClassVar[bool] = True
    """Whether it changes pixels alone, and no arrays of other numbers."""

    interpolates: ClassVar[bool] = False
    """Whether it makes pixels between those of an image."""

    @property
    def chance(self) -> float:
        """The probability with which it is applied to a sample."""
        return float(getattr(self, "probability", 1.0))

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The transforms that it consists of, and itself."""
        return (self,)

    def misfit(self, shape: Shape) -> str:
        """Return why samples of that shape cannot be changed by it, "" where they can."""
        if len(shape) - 1 in self.spatial_axes:
            return ""
        return f"`{self.kind}` changes images, and the network takes {noun(shape)}s of {format_shape(shape)}"


class Shift(Transform):
    """The image moved by a random number of pixels along each axis, as by padding with zeros and cropping."""

    kind = "shift"
    main = "pixels"
    spatial_axes = (1, 2, 3)
    geometric = True
    only_pixels = False

    pixels: Natural
    """Largest shift along each axis, in pixels; each one up to it, in both directions, is as likely."""

    def misfit(self, shape: Shape) -> str:
        """Return "" where something of a sample always stays in sight."""
        return super().misfit(shape) or _out_of_sight(self.kind, self.pixels, shape)


class RandomCrop(Transform):
    """A part of the image of the size of the network's input, at a random place."""

    kind = "random_crop"
    main = "pad"
    geometric = True
    crops = True
    only_pixels = False

    pad: Natural = 0
    """Rows and columns of zeros that are added to each side before."""

    def misfit(self, shape: Shape) -> str:
        """Return "" where something of an image always stays in sight."""
        return super().misfit(shape) or _out_of_sight(self.kind, self.pad, shape)


class RandomResizedCrop(Transform):
    """A random part of the image, resized to the network's input (Szegedy et al. 2014, section 6).

    As in torchvision: up to ten times, the area is drawn uniformly from `scale` and the aspect ratio log-uniformly from
    `ratio`, until such a part lies within the image; else it is the largest central part that `ratio` allows. Images
    are interpolated linearly, with antialiasing.
    """

    kind = "random_resized_crop"
    main = "scale"
    geometric = True
    crops = True
    interpolates = True
    only_pixels = False

    scale: Fractions = (0.08, 1.0)
    """[smallest, largest] area, as a fraction of that of the image."""
    ratio: Ratios = (3 / 4, 4 / 3)
    """[smallest, largest] width divided by height."""


class Flip(Transform):
    """The image mirrored at random."""

    kind = "flip"
    main = "axis"
    spatial_axes = (1, 2, 3)
    geometric = True
    only_pixels = False

    axis: Literal["horizontal", "vertical", "both"] = "horizontal"
    """Left to right, upside down, or each of these independently of the other."""
    probability: UnitInterval = 0.5
    """Probability with which an axis is mirrored."""

    @property
    def chance(self) -> float:
        """1: each axis is decided on by itself."""
        return 1.0

    def misfit(self, shape: Shape) -> str:
        """Return "" for samples with rows, or without if they are mirrored left to right."""
        if len(shape) == 2 and self.axis != "horizontal":
            return f"`flip: {self.axis}` mirrors rows, and the network takes sequences of {format_shape(shape)}"
        return super().misfit(shape)


class Rotate(Transform):
    """The image rotated by a random angle about its centre, in its size; what comes in from outside is zero."""

    kind = "rotate"
    main = "degrees"
    geometric = True
    interpolates = True
    only_pixels = False

    degrees: Degrees
    """Largest angle in both directions, or [from, to], counter-clockwise; the angle is uniform."""
    probability: UnitInterval = 1.0
    """Probability with which an image is rotated."""


class Scale(Transform):
    """The image magnified by a random factor about its centre, in its size; what comes in from outside is zero."""

    kind = "scale"
    main = "factor"
    geometric = True
    interpolates = True
    only_pixels = False

    factor: Ratios
    """[smallest, largest] factor, for both axes; above 1 it magnifies. The factor is uniform."""
    probability: UnitInterval = 1.0
    """Probability with which an image is scaled."""


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed in random order, by torchvision's formulas.

    With a factor f: brightness is f·x, contrast f·x + (1 − f)·m with the mean m of the luma over the image, saturation
    f·x + (1 − f)·luma. Hue is shifted in the HSV colour model. The luma is 0.299·R + 0.587·G + 0.114·B (ITU-R BT.601),
    and of images that have not three channels the mean of these. Pixels are limited to 0 … 255 after each change.
    """

    kind = "color_jitter"

    brightness: Around1 = (1.0, 1.0)
    """Largest difference b of the factor from 1, which is uniform in [max(0, 1 − b), 1 + b]; or [from, to]."""
    contrast: Around1 = (1.0, 1.0)
    """Of its factor likewise."""
    saturation: Around1 = (1.0, 1.0)
    """Of its factor likewise; needs three channels."""
    hue: Around0 = (0.0, 0.0)
    """Largest shift of the hue as a fraction of the full circle, at most 0.5; or [from, to]. Needs three channels."""
    probability: UnitInterval = 1.0
    """Probability with which an image is changed."""

    @property
    def colours(self) -> tuple[str, ...]:
        """The changes that need three channels."""
        return tuple(
            name for name, still in (("saturation", (1.0, 1.0)), ("hue", (0.0, 0.0))) if getattr(self, name) != still
        )

    def misfit(self, shape: Shape) -> str:
        """Return "" for images with three channels, or with any number where only brightness and contrast change."""
        if (found := super().misfit(shape)) or not self.colours:
            return found
        return _needs_colours(f"`color_jitter` with `{self.colours[0]}`", shape)


class Grey(Transform):
    """The luma in all three channels (0.299·R + 0.587·G + 0.114·B, ITU-R BT.601)."""

    kind = "grey"
    main = "probability"

    probability: UnitInterval = 0.1
    """Probability with which an image becomes grey."""

    def misfit(self, shape: Shape) -> str:
        """Return "" for images with three channels."""
        return super().misfit(shape) or _needs_colours("`grey`", shape)


class Erase(Transform):
    """A random rectangle of the image replaced (Zhong et al. 2017, with an aspect ratio that is log-uniform).

    Up to ten times, its area is drawn uniformly from `area` and its aspect ratio from `ratio`, until it is smaller than
    the image; else nothing is erased.
    """

    kind = "erase"
    main = "probability"

    probability: UnitInterval = 0.5
    """Probability with which a rectangle is replaced."""
    area: Fractions = (0.02, 0.4)
    """[smallest, largest] area, as a fraction of that of the image."""
    ratio: Ratios = (0.3, 1 / 0.3)
    """[smallest, largest] width divided by height."""
    fill: Fill = "random"
    """The pixel that is put there, or `random` for pixels that are uniform in 0 … 255, each by itself."""


class Noise(Transform):
    """Gaussian noise added to each number independently; pixels are limited to 0 … 255 after it."""

    kind = "noise"
    main = "std"
    spatial_axes = (0, 1, 2, 3)
    only_pixels = False

    std: Interval
    """Standard deviation, in pixel levels (or in the unit of an array of other numbers); or [from, to], uniform."""
    probability: UnitInterval = 1.0
    """Probability with which noise is added."""


class Blur(Transform):
    """The image convolved with a Gaussian, which is cut off at 3 standard deviations; the border mirrors the image."""

    kind = "blur"
    main = "sigma"

    sigma: Interval = (0.1, 2.0)
    """Standard deviation in pixels; or [from, to], uniform."""
    probability: UnitInterval = 1.0
    """Probability with which an image is blurred."""

    def misfit(self, shape: Shape) -> str:
        """Return "" for images that are not smaller than the standard deviation."""
        if (found := super().misfit(shape)) or self.sigma[1] <= max(shape[1:]):
            return found
        return f"`blur: {self.sigma[1]:g}` is wider than images of {format_shape(shape[1:])}"


def _out_of_sight(kind: str, pixels: int, shape: Shape) -> str:
    if pixels < min(shape[1:]):
        return ""
    return f"`{kind}: {pixels}` can move {noun(shape)}s of {format_shape(shape[1:])} out of sight"


def _needs_colours(what: str, shape: Shape) -> str:
    channels = f"{shape[0]} channel{'s' if shape[0] > 1 else ''}"
    return (
        "" if shape[0] == 3 else f"{what} needs three channels, red, green and blue, and the network takes {channels}"
    )


def written(transforms: tuple[Transform, ...]) -> list[dict[str, Any]]:
    """Return transforms as a spec has them: a mapping of each kind to its fields."""
    return [{transform.kind: transform.model_dump()} for transform in transforms]


def _several(least: int) -> PlainValidator:
    def read(value: Any) -> tuple[Transform, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(item, Transform) for item in value):
            raise fault("wrong-type", f"takes a list of transforms, not {describe(value)}")
        if len(value) < least:
            raise fault("invalid-value", "takes at least one transform")
        return tuple(value)

    return PlainValidator(read)


_LIST = WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}})
Transforms = Annotated[tuple[Transform, ...], _several(0), PlainSerializer(written), _LIST]
"""Transforms in the order in which they are applied."""
Alternatives = Annotated[tuple[Transform, ...], _several(1), PlainSerializer(written), _LIST]
"""Transforms to choose from."""


class OneOf(Transform):
    """One of several transforms, each as likely."""

    kind = "one_of"
    main = "transforms"
    spatial_axes = (0, 1, 2, 3)

    transforms: Alternatives
    """The transforms to choose from, written as in the list of `augment`."""
    probability: UnitInterval = 1.0
    """Probability with which one of them is applied."""

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The transforms that it chooses from, those within these, and itself."""
        return (self, *(part for transform in self.transforms for part in transform.parts))


TRANSFORMS: dict[str, type[Choice]] = {
    cls.kind: cls
    for cls in (
        Shift, RandomCrop, RandomResizedCrop, Flip, Rotate, Scale,
        ColorJitter, Grey, Erase, Noise, Blur, OneOf,
    )
}  # fmt: skip
