"""Splits in memory, whose pixels stay uint8 until they are in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.data import images, inputs
from cnnspec.data.split import rows, strata_of
from cnnspec.errors import DataError
from cnnspec.graph.settings import Fit, Input
from cnnspec.graph.spec import Spec
from cnnspec.layers import Shape

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
    """A split of arrays."""

    def __init__(self, x: Array, targets: Array | Arrays, graph_input: Input) -> None:
        self.n = len(x)
        self.targets = targets
        self._x = x
        self._levels = _levels(graph_input) if x.dtype == np.uint8 else None

    @property
    def strata(self) -> Array | None:
        """The class of each sample, where targets are classes."""
        return strata_of(self.targets)

    def load(self, indices: Array) -> tuple[Array, Array | Arrays]:
        """Return the samples and their targets."""
        return self.samples(indices), rows(self.targets, indices)

    def samples(self, indices: Array) -> Array:
        """Return pixels scaled as the spec's `input` says, floats as they are."""
        x = self._x[indices]
        if self._levels is None:
            return x
        if len(self._levels) == 1:
            y: Array = self._levels[0].take(x)
            return y
        y = np.empty(x.shape, np.float32)
        for i, levels in enumerate(self._levels):
            y[:, i] = levels.take(x[:, i])
        return y


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

    def load(self, indices: Array) -> tuple[Arrays, Array | Arrays]:
        """Return the samples of every input by name, and their targets."""
        return {name: split.samples(indices) for name, split in self._by_input.items()}, rows(self.targets, indices)


def fitted(part: Part, targets: Array | Arrays, spec: Spec) -> InMemory | SeveralInMemory:
    """Return the part fitted to a network; pixels of another size or colour are converted where `fit` allows it."""
    if not isinstance(part.x, dict):
        return _fitted(part.name, part.x, targets, spec.input)
    found = {name: _fitted(f"{part.name}[{name}]", part.x[name], targets, given) for name, given in spec.inputs.items()}
    return SeveralInMemory(found, targets)


def _fitted(name: str, x: Array, targets: Array | Arrays, graph_input: Input) -> InMemory:
    shape, how = graph_input.shape, graph_input.fit
    pixels = inputs.are_pixels(x, name)
    found = inputs.as_samples(x, shape)
    if found is None:
        if how == "exact" or not (pixels and len(shape) == 3 and x.ndim in (3, 4)):
            error = inputs.misfit(name, x.shape, shape, pixels=pixels, how=how)
            raise DataError(f"{error}{_or_pad(x.shape, shape) if how == 'exact' else ''}")
        found = _converted(x if x.ndim == 4 else x[:, None], shape, name, how)
    if not pixels:
        with np.errstate(over="ignore"):  # an overflow gives infinity, which is reported below
            found = inputs.finite(found.astype(np.float32), name)
    return InMemory(found, targets, graph_input)


def _levels(graph_input: Input) -> Array:
    """Return the number that each of the 256 pixel values becomes: [c, 256], or [1, 256] where all channels agree."""
    channels = graph_input.shape[0]
    ramp = np.broadcast_to(np.arange(256)[:, None], (256, channels))
    levels = inputs.scaled(ramp.reshape(256, channels, *(1,) * (len(graph_input.shape) - 1)), graph_input)
    levels = np.ascontiguousarray(levels.reshape(256, channels).T, np.float32)
    return levels[:1] if (levels == levels[0]).all() else levels


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
