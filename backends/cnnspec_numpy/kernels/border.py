"""Borders that copy numbers of the input: its mirror image, its outermost numbers, or those of the other side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.kernels.window import EVERY, pad_axes, unpad, view

Pads = Sequence[tuple[int, int]]

_MODES = {"reflect": "reflect", "edge": "edge", "circular": "wrap"}


def bordered(x: Array, pads: Pads, mode: str) -> Array:
    """Return x [n, c, ...] with a border before and after each spatial axis; any other mode than these means zeros."""
    if mode not in _MODES:
        return pad_axes(x, pads)
    return view(x, EVERY, EVERY, *np.ix_(*_sources(x.shape[2:], pads, mode)))


def bordered_backward(dy: Array, pads: Pads, sizes: Sequence[int], mode: str) -> Array:
    """Return the adjoint of `bordered`: the gradient of each copy goes to its source, dy -> dx [n, c, *sizes]."""
    if mode not in _MODES:
        return unpad(dy, pads, sizes)
    copies = [np.eye(n, dtype=dy.dtype)[source] for n, source in zip(sizes, _sources(sizes, pads, mode), strict=True)]
    return along_axes(dy, [matrix.T for matrix in copies])


def along_axes(x: Array, matrices: Sequence[Array]) -> Array:
    """Return x [n, c, h, w] times the matrices [oh, h] and [ow, w] along its spatial axes: [n, c, oh, ow]."""
    *first, last = matrices
    x = x @ last.T
    for axis, matrix in enumerate(first, 2):
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


def _sources(sizes: Sequence[int], pads: Pads, mode: str) -> list[Array]:
    """Return which number each number with the border copies, along each axis."""
    return [np.pad(np.arange(n), pair, _MODES[mode]) for n, pair in zip(sizes, pads, strict=True)]  # type: ignore[call-overload]
