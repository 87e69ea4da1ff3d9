"""The augmentation of a training: its transforms applied to samples and their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data.augment import geometry, photometry
from cnnspec.data.augment.draws import Draws, key_of
from cnnspec.data.augment.samples import Raster, Samples, Size, merged
from cnnspec.data.augment.sizes import leaves
from cnnspec.data.images import pillow_for
from cnnspec.data.inputs import scaled
from cnnspec.errors import DataError
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss, OneOf, Train, Transform
from cnnspec.layers import Shape
from cnnspec.wording import format_shape

Change = Callable[[Any, Samples, Draws, Size], Samples]
"""Applies a transform to samples of any size, for a network whose input has the given one."""

CHANGES: dict[str, Change] = {
    "shift": geometry.shift,
    "random_crop": geometry.random_crop,
    "random_resized_crop": geometry.random_resized_crop,
    "flip": geometry.flip,
    "rotate": geometry.rotate,
    "scale": geometry.scale,
    "color_jitter": photometry.color_jitter,
    "grey": photometry.grey,
    "erase": photometry.erase,
    "noise": photometry.noise,
    "blur": photometry.blur,
}
"""What each transform but `one_of` does to samples. Slot 0 of the numbers of those that have a `chance` below 1 says
which samples they are."""


class Map(NamedTuple):
    """How the target of an output that is a map moves with the image."""

    fill: float
    """What comes in from outside."""
    smooth: bool
    """Whether it is interpolated, as labels and numbers are; classes are not."""
    channels: bool
    """Whether it has an axis of channels."""


@dataclass(frozen=True)
class Augmentation:
    """The transforms of a training, in one epoch of it.

    The change of a sample depends on the seed, the epoch and the index of the sample alone: not on the batch, the
    process or the backend.
    """

    transforms: tuple[Transform, ...]
    shape: Shape
    """The shape of the network's input."""
    zero: tuple[float, ...]
    """The number that a pixel of zero becomes in each channel, which is what comes in from outside."""
    maps: Mapping[str, Map] = field(default_factory=dict)
    """The outputs whose targets are maps that move with the image."""
    seed: int = 0
    epoch: int = 0

    def at(self, epoch: int) -> Augmentation:
        """Return that of another epoch."""
        return replace(self, epoch=epoch)

    @property
    def parts(self) -> list[Transform]:
        """All transforms, also those among which one is chosen."""
        return [part for transform in self.transforms for part in transform.parts]

    @property
    def crops(self) -> bool:
        """Whether it takes images of another size than the network's, which are not to be fitted before."""
        return any(part.crops for part in self.parts)

    def check(self, name: str, size: Size, *, pixels: bool) -> None:
        """Raise DataError where the samples called `name`, which have that size, cannot be augmented."""
        for part in self.parts:
            if part.only_pixels and not pixels and not isinstance(part, OneOf):
                raise DataError(
                    f"`{part.kind}` changes pixels, and `{name}` holds numbers, which are taken as they are: "
                    "save images as uint8, or leave it out of `augment`"
                )
        wrong = leaves(self.transforms, size, self.shape[1:])
        if wrong:
            raise DataError(f"`{name}`: {wrong}")

    def __call__(
        self, x: Array, target: Array | Arrays, indices: Array, *, pixels: bool = True
    ) -> tuple[Array, Array | Arrays]:
        """Return samples and their targets changed: x [n, c, h, w] -> y [n, c, h, w] of the network's size.

        x holds pixels from 0 to 255 before they are scaled, or other numbers; it may have another size than the
        network's input where a transform crops. `indices` are those of the samples in their data. Of the targets, maps
        move with the image.
        """
        if not len(x):
            return np.empty((0, *self.shape), x.dtype), target
        fill = (0.0,) * len(self.zero) if pixels else self.zero
        if isinstance(target, dict):
            moving = {name: target[name] for name in self.maps if name in target}
        else:
            moving = dict.fromkeys(list(self.maps)[:1], target)
        maps = [self._raster(array, self.maps[name]) for name, array in moving.items()]
        samples = Samples(Raster(x, fill, smooth=True), tuple(maps), pixels)
        samples = _apply(self.transforms, samples, indices, self._keys, self.shape[1:])
        moved = {
            name: raster.values if self.maps[name].channels else raster.values[:, 0]
            for name, raster in zip(moving, samples.maps, strict=True)
        }
        if isinstance(target, dict):
            return samples.image.values, {**target, **moved}
        return samples.image.values, next(iter(moved.values()), target)

    def one(self, x: Array, target: Any, index: int) -> tuple[Array, Any]:
        """Return a sample of pixels and its target changed: x [c, h, w], target [...], or an array for each output."""
        named = target if isinstance(target, dict) else {"": np.asarray(target)}
        batch = {name: array[None] for name, array in named.items()}
        y, found = self(x[None], batch if isinstance(target, dict) else batch[""], np.array([index]))
        if isinstance(found, dict):
            return y[0], {name: array[0] for name, array in found.items()}
        return y[0], found[0]

    def _raster(self, target: Array, how: Map) -> Raster:
        values = target if how.channels else target[:, None]
        return Raster(values, (how.fill,) * values.shape[1], how.smooth)

    @cached_property
    def _keys(self) -> list[int]:
        """The keys of all transforms in the order of `parts`."""
        return [key_of(self.seed, self.epoch, position) for position in range(len(self.parts))]


def augmentation_of(train: Train, graph: Graph, graph_input: Input) -> Augmentation | None:
    """Return the augmentation of a training of a network with one input, None where it has none.

    Raises DataError for transforms that do not fit the network's input or its targets.
    """
    if not train.augment:
        return None
    shape = graph_input.shape
    zero = scaled(np.zeros((1, shape[0], *[1] * (len(shape) - 1))), graph_input)
    losses = train.by_output(graph.output_names)
    found = Augmentation(train.augment, shape, tuple(zero.ravel().tolist()), _maps(losses, graph, shape), train.seed)
    for part in found.parts:
        if wrong := part.misfit(shape):
            raise DataError(f"{wrong}: leave it out of `augment`")
        if part.geometric:
            _check_targets(part, losses, graph, shape)
        if part.interpolates:
            pillow_for(part.kind)
    return found


def augmentation_for(spec: Spec) -> Augmentation | None:
    """Return the augmentation of a spec's training, None where it has none; raise DataError where it does not fit."""
    train = spec.train or Train()
    if train.augment and len(spec.inputs) > 1:
        raise DataError(f"`augment` takes one input, and `{spec.name}` has {len(spec.inputs)}: leave it out")
    return augmentation_of(train, spec.graph, spec.input) if train.augment else None


def _maps(losses: Mapping[str, Loss], graph: Graph, shape: Shape) -> dict[str, Map]:
    """Return how the targets that are maps of the input's size move."""
    found = {}
    for name, loss in losses.items():
        output = graph.output_nodes[name].shape
        if output[1:] == shape[1:] and len(shape) > 1:
            classes = loss.targets == "classes"
            found[name] = Map(float(loss.ignored or 0), smooth=not classes, channels=not classes)
    return found


def _check_targets(part: Transform, losses: Mapping[str, Loss], graph: Graph, shape: Shape) -> None:
    for name in losses:
        output = graph.output_nodes[name].shape
        if output[1:] != shape[1:] and any(size > 1 for size in output[1:]):
            raise DataError(
                f"`{part.kind}` moves an image of {format_shape(shape[1:])} and the map that is its target, and the "
                f"output `{name}` is a map of {format_shape(output[1:])}: let it be as large as the input, or leave "
                f"`{part.kind}` out of `augment`"
            )


def _apply(transforms: Sequence[Transform], x: Samples, indices: Array, keys: Sequence[int], size: Size) -> Samples:
    """Apply transforms in their order; `keys` are those of all their parts."""
    for transform in transforms:
        own, keys = keys[: len(transform.parts)], keys[len(transform.parts) :]
        draws = Draws(own[0], indices)
        chosen = draws.happens(0, transform.chance)
        if chosen.all():
            x = _change(transform, x, draws, own, size)
        elif chosen.any():
            rows, others = np.flatnonzero(chosen), np.flatnonzero(~chosen)
            changed = _change(transform, x.of(rows), draws.of(rows), own, size)
            x = merged([(rows, changed), (others, x.of(others))])
    return x


def _change(transform: Transform, x: Samples, draws: Draws, keys: Sequence[int], size: Size) -> Samples:
    if not isinstance(transform, OneOf):
        return CHANGES[transform.kind](transform, x, draws, size)
    choice = draws.below(1, len(transform.transforms))
    parts = []
    first = 1
    for i, one in enumerate(transform.transforms):
        rows = np.flatnonzero(choice == i)
        if len(rows):
            own = keys[first : first + len(one.parts)]
            parts.append((rows, _apply([one], x.of(rows), draws.indices[rows], own, size)))
        first += len(one.parts)
    return merged(parts)
