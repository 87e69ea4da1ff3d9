"""Layers that only move numbers: crop, pad, shuffle, repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec_numpy.plan.finish import nchw
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Job
from cnnspec_numpy.plan.methods.whole import OverOutput
from cnnspec_numpy.plan.value import to_nchw


class Moved(OverOutput):
    """Layers that only move numbers: the output is a copy of a view of the input."""

    name = "copy"
    passes = 4.0

    def applies(self, operation: Operation) -> bool:
        """Whether there is such a view."""
        return operation.pool is None and moves(operation.node)

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the copy."""
        node = job.operation.node
        source, place = moved(node, nchw(job.x[0]), to_nchw(self.layout, out))
        if place.size < out.size:
            yield partial(out.fill, node.layer.value)  # type: ignore[attr-defined]
        yield partial(np.copyto, place, source)


def moves(node: Node) -> bool:
    """Whether a layer copies a view of an image."""
    return len(node.in_shapes[0]) == 3 and _key(node) in VIEWS


def moved(node: Node, x: Array, y: Array) -> tuple[Array, Array]:
    """Return views of x and y [n, c, h, w] of which y's is a copy of x's, where axes of size one are repeated."""
    return VIEWS[_key(node)](node, x, y)


def _key(node: Node) -> tuple[str, str]:
    return node.kind, getattr(node.layer, "mode", "")


def _crop(node: Any, x: Array, y: Array) -> tuple[Array, Array]:
    rows, columns = (slice(-w.before, w.out - w.before) for w in node.windows)
    return x[:, :, rows, columns], y


def _pad(node: Any, x: Array, y: Array) -> tuple[Array, Array]:
    top, left = (w.before for w in node.windows)
    return x, y[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _shuffle(node: Any, x: Array, y: Array) -> tuple[Array, Array]:
    groups = node.layer.groups
    n, c, h, w = x.shape
    by_group = x.reshape(n, groups, c // groups, h, w).transpose(0, 2, 1, 3, 4)
    return by_group, y.reshape(n, c // groups, groups, h, w)


def _slice(node: Any, x: Array, y: Array) -> tuple[Array, Array]:
    return x[:, *node.layer.parts(node.in_shapes[0])], y


def _upsample(node: Any, x: Array, y: Array) -> tuple[Array, Array]:
    sh, sw = node.layer.scales(node.shape)
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None], y.reshape(n, c, h, sh, w, sw)


VIEWS: dict[tuple[str, str], Callable[[Any, Array, Array], tuple[Array, Array]]] = {
    ("crop", ""): _crop,
    ("pad", "constant"): _pad,
    ("channel_shuffle", ""): _shuffle,
    ("slice", ""): _slice,
    ("upsample", "nearest"): _upsample,
}
"""By kind and mode; x and y are views of arrays in some layout."""
