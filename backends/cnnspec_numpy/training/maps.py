"""Linear maps between an image and the positions of windows over it, with the weights of each group.

A convolution maps an image to its positions, and the gradient of these back; a transposed one the other way round.
Weights are [g, o/g, c/g, kh, kw], where o are the channels of the positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.method import CACHE
from cnnspec_numpy.plan.slabs import Windows
from cnnspec_numpy.plan.value import Border, Value
from cnnspec_numpy.training.calls import put

from cnnspec.arrays import Array
from cnnspec.layers.geometry import Window

Work = Callable[[str], Array]


class Geometry(NamedTuple):
    """Windows over an image [c, h, w], whose positions have o channels, for n samples."""

    windows: Windows
    image: tuple[int, ...]
    o: int
    groups: int
    n: int

    @property
    def border(self) -> Border:
        """The zeros around the image."""
        return Border(*(max(0, side) for w in self.windows for side in (w.before, w.after)))

    @property
    def run(self) -> int:
        """How many numbers a row of positions has for each channel."""
        return self.windows[1].out * self.n

    @property
    def taps(self) -> int:
        """How many elements a window has in each channel."""
        return math.prod(w.kernel for w in self.windows)

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a window of its own."""
        return self.groups == self.image[0] == self.o and self.groups > 1

    def blocks(self, row: int, multiple: int = 1) -> list[tuple[int, int]]:
        """Return blocks of rows of positions, each of which takes `row` numbers of work, that fit the cache."""
        rows = self.windows[0].out
        most = CACHE // row
        most = max(multiple, most - most % multiple)
        size = -(-rows // -(-rows // most))
        size += -size % multiple
        return [(r, min(r + size, rows)) for r in range(0, rows, size)]

    def turned(self) -> Geometry:
        """Return the windows of the image over its positions, for a stride of 1."""
        h, w = (
            Window(v.kernel, 1, v.dilation, v.span - 1 - v.before, size + v.before - v.out, 0, size)
            for v, size in zip(self.windows, self.image[1:], strict=True)
        )
        positions = (self.o, *(v.out for v in self.windows))
        return Geometry((h, w), positions, self.image[0], self.groups, self.n)


def most_rows(blocks: list[tuple[int, int]]) -> int:
    """Return the rows of the largest block."""
    return max(end - first for first, end in blocks)


class Target(NamedTuple):
    """Where a result goes: an array [h, c, w, n], with a bias [c], or added to what is there."""

    array: Array
    adds: bool = False
    bias: Array | None = None

    def rows(self, first: int, end: int) -> Target:
        """Return some of its rows."""
        return self._replace(array=self.array[first:end])

    def result(self, direct: bool, work: Array) -> Array:
        """Return the array to compute in: its own where the result may be written there directly."""
        place = self.array
        return place if direct and not self.adds else work[: place.size].reshape(place.shape)

    def finish(self, result: Array) -> Iterator[Call]:
        """Yield the bias, and the way to its place."""
        if self.bias is not None:
            yield partial(np.add, result, self.bias[:, None, None], out=self.array)
        elif result is not self.array:
            yield put(result, self.array, self.adds)

    def begin(self) -> Iterator[Call]:
        """Yield what the array holds before the parts of the result are added to it."""
        if self.bias is not None:
            yield partial(np.copyto, self.array, self.bias[:, None, None])
        elif not self.adds:
            yield partial(self.array.fill, 0)


class Map:
    """A linear map from an image to its positions, or back."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @property
    def border(self) -> Border:
        """The zeros that it needs around its source."""
        return Border()

    @property
    def weight_size(self) -> int:
        """How many numbers its own copy of the weights has; what lies between them stays zero from step to step."""
        return 0

    def workspace(self) -> dict[str, int]:
        """Return how many numbers of memory it needs, by name."""
        raise NotImplementedError

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield the calls that map the source to the target; `memory` is for its copy of the weights."""
        raise NotImplementedError


class Gather(Map):
    """From the image to the positions."""

    @property
    def border(self) -> Border:
        """The padding."""
        return self.geometry.border

    def gradient(self, image: Value, positions: Array, gradient: Array, work: Work) -> Iterator[Call]:
        """Yield the calls that write the gradient of the weight, from an image and the gradient at its positions."""
        raise NotImplementedError


class Turned(Map):
    """From the positions to the image, by the correlation with the kernel turned round: for a stride of 1.

    Exact: x[i] has a part in y[i − tap] for each tap, so that dx[i] is a sum over the same taps in reverse.
    """

    def __init__(self, geometry: Geometry, correlation: Callable[[Geometry], Map]) -> None:
        super().__init__(geometry)
        self._correlation = correlation(geometry.turned())

    @property
    def border(self) -> Border:
        """The padding of the turned windows."""
        return self._correlation.border

    @property
    def weight_size(self) -> int:
        """That of the correlation."""
        return self._correlation.weight_size

    def workspace(self) -> dict[str, int]:
        """Return that of the correlation."""
        return self._correlation.workspace()

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield those of the correlation."""
        turned = np.flip(weight, (3, 4)).transpose(0, 2, 1, 3, 4)
        yield from self._correlation.calls(source, turned, target, memory, work)
