"""Splits in memory, whose pixels stay uint8 until they are in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array, Arrays, Pixels, Samples
from cnnspec.data import images, inputs
from cnnspec.data.augment import Augmentation
from cnnspec.data.split import rows, strata_of
from cnnspec.errors import DataError
from cnnspec.graph.settings import Fit, Input
from cnnspec.graph.spec import Spec
from cnnspec.layers import Shape
from cnnspec.wording import format_shape

_CHUNK = 256
"""Number of images that are resized at a time."""


@dataclass(frozen=True)
class Part:
    """Samples and targets as files hold them, before they are fitted to a network."""

    name: str
    """The name in error messages."""
    x: Array | Arrays
    """[n, h, w], [n, c, h, w] or [n, f]; pixels if uint8; of every input by name, where there are several."""
    y: Array | Arrays
    """[n] classes, or [n, ...] numbers; by name where outputs have targets of their own."""


class InMemory:
    """A split of arrays.

    `x` has the size of the network's input, or is of images that augmentation crops to it. `original` are such images
    where x are these fitted.
    """

    def __init__(self, x: Array, targets: Array | Arrays, graph_input: Input, original: Array | None = None) -> None:
        self.n = len(x)
        self.targets = targets
        self._x = x
        self._original = x if original is None else original
        self._shape = graph_input.shape
        self._levels = inputs.levels(graph_input) if x.dtype == np.uint8 else None

    @property
    def strata(self) -> Array | None:
        """The class of each sample, where targets are classes."""
        return strata_of(self.targets)

    def load(
        self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False
    ) -> tuple[Samples, Array | Arrays]:
        """Return the samples and their targets, changed by the augmentation."""
        target = rows(self.targets, indices)
        if augmentation is None:
            return self.samples(indices, pixels=pixels), target
        x, target = augmentation(self._original[indices], target, indices, pixels=self._levels is not None)
        return self._scaled(x, pixels), target

    def reconstructed(
        self, indices: Array, augmentation: Augmentation | None, *, pixels: bool = False
    ) -> tuple[Samples, Array]:
        """Return the samples as `load` does, and how they would be if augmentation moved pixels and no more."""
        if augmentation is None:
            x = self.samples(indices, pixels=pixels)
            return x, np.asarray(x)
        original = self._original[indices]
        target = original if not augmentation.maps else dict.fromkeys(augmentation.maps, original)
        changed, moved = augmentation(original, target, indices, pixels=self._levels is not None)
        own = next(iter(moved.values())) if isinstance(moved, dict) else moved
        return self._scaled(changed, pixels), np.asarray(self._scaled(own))

    def samples(self, indices: Array, *, pixels: bool = False) -> Samples:
        """Return pixels scaled as the spec's `input` says, or unscaled with `pixels`; floats as they are."""
        if self._x.shape[1:] != self._shape:
            raise DataError(
                f"images of {format_shape(self._x.shape[1:])} fit the network's {format_shape(self._shape)} by "
                "`augment` alone: `--resize` (or `fit` in the spec's `input`) converts those that are not augmented"
            )
        return self._scaled(self._x[indices], pixels)

    def _scaled(self, x: Array, pixels: bool = False) -> Samples:
        if self._levels is None:
            return x
        found = Pixels(x, self._levels)
        return found if pixels else np.asarray(found)


class SeveralInMemory:
    """A split of arrays, one for each input of a network by name."""

    def __init__(self, by_input: Mapping[str, InMemory], targets: Array | Arrays) -> None:
        self.n = next(iter(by_input.values())).n
        self.targets = targets
        self._by_input = by_input

    @property
    def strata(self) -> Array | None:
        """The class of each sample, where the targets of the first output are classes."""
        return strata_of(self.targets)

    def load(
        self, indices: Array, augmentation: Augmentation | None = None, *, pixels: bool = False
    ) -> tuple[dict[str, Samples], Array | Arrays]:
        """Return the samples of every input by name, and their targets; these are not augmented."""
        assert augmentation is None
        x = {name: split.samples(indices, pixels=pixels) for name, split in self._by_input.items()}
        return x, rows(self.targets, indices)


def fitted(
    part: Part, targets: Array | Arrays, spec: Spec, augmentation: Augmentation | None = None
) -> InMemory | SeveralInMemory:
    """Return the part fitted to a network; pixels of another size or colour are converted where `fit` allows it.

    With an augmentation that crops, training takes images in their own size.
    """
    if not isinstance(part.x, dict):
        held_out = spec.train is not None and spec.train.validation > 0
        return _fitted(part.name, part.x, targets, spec.input, augmentation, held_out=held_out)
    found = {name: _fitted(f"{part.name}[{name}]", part.x[name], targets, given) for name, given in spec.inputs.items()}
    return SeveralInMemory(found, targets)


def _fitted(
    name: str,
    x: Array,
    targets: Array | Arrays,
    graph_input: Input,
    augmentation: Augmentation | None = None,
    *,
    held_out: bool = False,
) -> InMemory:
    """Return samples fitted to an input; `held_out` are those of a part of which some are not augmented."""
    shape, how = graph_input.shape, graph_input.fit
    pixels = inputs.are_pixels(x, name)
    found = inputs.as_samples(x, shape)
    original = None
    if found is None:
        images_of = x if x.ndim == 4 else x[:, None]
        is_image = pixels and len(shape) == 3 and x.ndim in (3, 4)
        crops = is_image and augmentation is not None and augmentation.crops
        if how == "exact" and crops and not held_out and images_of.shape[1] == shape[0]:
            found = images_of
        elif how == "exact" or not is_image:
            error = inputs.misfit(name, x.shape, shape, pixels=pixels, how=how)
            raise DataError(f"{error}{_or_pad(x.shape, shape) if how == 'exact' else ''}")
        else:
            found = _converted(images_of, shape, name, how)
            original = _converted(images_of, (shape[0], *images_of.shape[2:]), name, how) if crops else None
    if not pixels:
        with np.errstate(over="ignore"):  # an overflow gives infinity, which is reported below
            found = inputs.finite(found.astype(np.float32), name)
    if augmentation is not None:
        augmentation.check(name, (found if original is None else original).shape[2:], pixels=pixels)
    return InMemory(found, targets, graph_input, original)


def _converted(x: Array, shape: Shape, name: str, how: Fit) -> Array:
    y = np.empty((len(x), *shape), np.uint8)
    for i in range(0, len(x), _CHUNK):
        y[i : i + _CHUNK] = np.rint(images.converted(x[i : i + _CHUNK], shape, name, how))
    return y


def _or_pad(found: Shape, shape: Shape) -> str:
    """Return a second remedy, for images that are smaller than the network's input."""
    if len(shape) != 3 or len(found) not in (3, 4):
        return ""
    channels, (h, w) = (found[1] if len(found) == 4 else 1), found[-2:]
    rows, columns = shape[1] - h, shape[2] - w
    if channels != shape[0] or min(rows, columns) < 0:
        return ""
    pad = f"{rows}" if rows == columns else f"[{rows}, {columns}]"
    return f", or let the spec have `input: [{channels}, {h}, {w}]` and begin with `pad: {pad}`"
