"""What transforms change: the images of some samples, and the maps among their targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cnnspec.arrays import Array

Size = tuple[int, ...]
"""Height and width; the sizes of all spatial axes."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Numbers at the positions of some samples."""

    values: Array
    """[n, c, h, w], or with any other number of spatial axes."""
    fill: tuple[float, ...]
    """What comes in from outside, for each channel."""
    smooth: bool
    """Whether numbers between positions are interpolated linearly; else the nearest one is taken."""

    @property
    def size(self) -> Size:
        """The size along each spatial axis."""
        return self.values.shape[2:]

    def with_values(self, values: Array) -> Raster:
        """Return a raster of other numbers of its kind."""
        return replace(self, values=values)


class Samples(NamedTuple):
    """The image and the maps of some samples."""

    image: Raster
    maps: tuple[Raster, ...]
    pixels: bool
    """Whether the image holds pixels from 0 to 255."""

    def moved(self, move: Callable[[Raster], Array]) -> Samples:
        """Return samples whose image and maps are moved alike."""
        moved = [raster.with_values(move(raster)) for raster in (self.image, *self.maps)]
        return self._replace(image=moved[0], maps=tuple(moved[1:]))

    def painted(self, image: Array) -> Samples:
        """Return samples with another image."""
        return self._replace(image=self.image.with_values(image))

    def of(self, rows: Array) -> Samples:
        """Return some of the samples."""
        return self.moved(lambda raster: raster.values[rows])

    def floats(self) -> Array:
        """Return the image as float32."""
        return self.image.values.astype(np.float32)

    def rounded(self, image: Array) -> Samples:
        """Return samples with another image of floats, as pixels from 0 to 255 of the type of the present one."""
        dtype = self.image.values.dtype
        if self.pixels:
            image = np.clip(image, 0, 255)
        if dtype.kind == "u":
            image = np.rint(image)
        return self.painted(image.astype(dtype))


def merged(parts: Sequence[tuple[Array, Samples]]) -> Samples:
    """Return the samples of several parts in their order: each part has the rows [m] that its samples belong to."""
    rows = np.concatenate([at for at, _ in parts])
    order = np.empty_like(rows)
    order[rows] = np.arange(len(rows))
    first = parts[0][1]
    rasters = [(part.image, *part.maps) for _, part in parts]
    found = [np.concatenate([of.values for of in alike])[order] for alike in zip(*rasters, strict=True)]
    maps = tuple(raster.with_values(values) for raster, values in zip(first.maps, found[1:], strict=True))
    return first.painted(found[0])._replace(maps=maps)
