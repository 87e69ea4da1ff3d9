"""Values of a plan: the output of a node for a chunk of samples, in one of two layouts.

| layout | image | vector | for |
|---|---|---|---|
| channels last | [n, h, w, c] | [n, f] | few samples: products over positions × channels |
| batch last | [h, c, w, n] | [f, n] | many samples: long runs, and columns of a convolution nearly for free |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers import Shape
from cnnspec_numpy.plan.memory import Region


class Layout(Enum):
    """The order of the axes; the value is its name in listings."""

    CHANNELS_LAST = "nhwc"
    BATCH_LAST = "hcwn"


CHANNELS_LAST, BATCH_LAST = Layout.CHANNELS_LAST, Layout.BATCH_LAST

_FROM_NCHW = {CHANNELS_LAST: (0, 2, 3, 1), BATCH_LAST: (2, 1, 3, 0)}
_TO_NCHW = {CHANNELS_LAST: (0, 3, 1, 2), BATCH_LAST: (3, 1, 0, 2)}


def from_nchw(layout: Layout, x: Array) -> Array:
    """Return a view of x [n, c, h, w] or [n, f] with the axes of a layout."""
    if x.ndim == 2:
        return x if layout is CHANNELS_LAST else x.T
    return x.transpose(_FROM_NCHW[layout])


def to_nchw(layout: Layout, x: Array) -> Array:
    """Return a view of an array of that layout with the axes [n, c, h, w] or [n, f]."""
    if x.ndim == 2:
        return x if layout is CHANNELS_LAST else x.T
    return x.transpose(_TO_NCHW[layout])


class Border(NamedTuple):
    """Rows and columns of zeros that are stored around an image."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def union(self, other: Border) -> Border:
        """Return the border that holds both."""
        return Border(*map(max, self, other))


NO_BORDER = Border()


@dataclass(eq=False)
class Value:
    """The output of a node in a layout, for n samples.

    `image` is the shape [c, h, w] that it is stored as: that of the layer before, for a flattened vector. A value with
    a `parent` is a range of that value's channels, from `channel` on, in its memory.
    """

    name: str
    layout: Layout
    shape: Shape
    n: int
    image: Shape
    parent: Value | None = None
    channel: int = 0
    border: Border = NO_BORDER
    region: Region = field(default_factory=lambda: Region(0, 1 << 30, -1))
    full: Array = field(init=False, repr=False)
    """With the border."""
    inner: Array = field(init=False, repr=False)
    """Without it."""

    @property
    def root(self) -> Value:
        """The value whose memory this one lies in."""
        return self.parent.root if self.parent is not None else self

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the array, with the border."""
        return shape_in(self.layout, self.image, self.n, self.border)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of the array, without the border."""
        return shape_in(self.layout, self.image, self.n)

    @property
    def size(self) -> int:
        """How many numbers it holds, without the border."""
        return self.n * math.prod(self.shape)

    def ask_border(self, border: Border) -> None:
        """Store at least this border of zeros around the value."""
        root = self.root
        root.border = root.border.union(border)

    def bind(self, full: Array | None = None) -> None:
        """Set the arrays: to `full`, or to the channels of the parent, which is bound already."""
        if self.parent is None:
            assert full is not None
            self.full = full
        else:
            self.full = channels_of(self.layout, self.parent.full, self.channel, self.channel + self.image[0])
            self.border = self.root.border
        self.inner = inside(self.layout, self.full, self.border)


def shape_in(layout: Layout, shape: Shape, n: int, border: Border = NO_BORDER) -> tuple[int, ...]:
    """Return the shape of the array of n samples in a layout."""
    if len(shape) == 1:
        return (n, *shape) if layout is CHANNELS_LAST else (*shape, n)
    c, h, w = shape[0], shape[1] + border.top + border.bottom, shape[2] + border.left + border.right
    return (n, h, w, c) if layout is CHANNELS_LAST else (h, c, w, n)


def channels_of(layout: Layout, x: Array, first: int, end: int) -> Array:
    """Return a range of the channels, as a view."""
    if layout is CHANNELS_LAST:
        return x[..., first:end]
    return x[first:end] if x.ndim == 2 else x[:, first:end]


def inside(layout: Layout, full: Array, border: Border) -> Array:
    """Return an array without its border, as a view."""
    if full.ndim == 2 or not any(border):
        return full
    rows = slice(border.top, full.shape[1 if layout is CHANNELS_LAST else 0] - border.bottom)
    columns = slice(border.left, full.shape[2] - border.right)
    return full[:, rows, columns] if layout is CHANNELS_LAST else full[rows, :, columns]


def border_of(layout: Layout, full: Array, border: Border) -> list[Array]:
    """Return the parts of an array that are its border, as views."""
    axis = 1 if layout is CHANNELS_LAST else 0
    found = []
    for at, before, after in ((axis, border.top, border.bottom), (2, border.left, border.right)):
        every: list[Any] = [slice(None)] * full.ndim
        if before:
            found.append(full[(*every[:at], slice(0, before))])
        if after:
            found.append(full[(*every[:at], slice(full.shape[at] - after, None))])
    return found


def as_matrix(x: Array, rows: int) -> Array | None:
    """Return x with its first `rows` axes as one and the others as another, if that is a view for BLAS; else None."""
    matrix = x.reshape(math.prod(x.shape[:rows]), math.prod(x.shape[rows:]))
    if not np.may_share_memory(matrix, x) or (matrix.shape[1] > 1 and matrix.strides[1] != x.itemsize):
        return None
    return matrix
