"""Layers that only move numbers: crop, pad, shuffle, repeat."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
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
        node = operation.node
        if len(node.in_shapes[0]) != 3 or operation.pool is not None:
            return False
        mode = getattr(node.layer, "mode", "")
        return (node.kind, mode) in MOVES

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the copy."""
        node = job.operation.node
        yield from MOVES[node.kind, getattr(node.layer, "mode", "")](node, nchw(job.x[0]), to_nchw(self.layout, out))


def _crop(node: Any, x: Array, y: Array) -> Iterator[Call]:
    kept = [slice(-w.before, w.out - w.before) for w in node.windows]
    yield partial(np.copyto, y, x[:, :, kept[0], kept[1]])


def _pad(node: Any, x: Array, y: Array) -> Iterator[Call]:
    (top, _), (left, _) = ((w.before, w.after) for w in node.windows)
    yield partial(y.fill, node.layer.value)
    yield partial(np.copyto, y[:, :, top : top + x.shape[2], left : left + x.shape[3]], x)


def _shuffle(node: Any, x: Array, y: Array) -> Iterator[Call]:
    groups = node.layer.groups
    n, c, h, w = x.shape
    yield partial(
        np.copyto,
        y.reshape(n, c // groups, groups, h, w),
        x.reshape(n, groups, c // groups, h, w).transpose(0, 2, 1, 3, 4),
    )


def _upsample(node: Any, x: Array, y: Array) -> Iterator[Call]:
    sh, sw = node.layer.scales(node.shape)
    n, c, h, w = x.shape
    yield partial(np.copyto, y.reshape(n, c, h, sh, w, sw), x[:, :, :, None, :, None])


MOVES: dict[tuple[str, str], Any] = {
    ("crop", ""): _crop,
    ("pad", "constant"): _pad,
    ("channel_shuffle", ""): _shuffle,
    ("upsample", "nearest"): _upsample,
}
"""By kind and mode: what copies x [n, c, h, w] to y, both views of arrays in some layout."""
