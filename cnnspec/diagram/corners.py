"""The corners of edges: where a round corner begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import hypot

from cnnspec.diagram.scene import Point


def round_corners(points: Sequence[Point], radius: float) -> Iterator[tuple[Point, Point, Point]]:
    """Yield where each corner of a line begins, the corner itself, and where it ends: a quadratic Bézier curve."""
    for (before, corner), (_, behind) in pairwise(pairwise(points)):
        r = min(radius, _length(before, corner) / 2, _length(corner, behind) / 2)
        yield _towards(corner, before, r), corner, _towards(corner, behind, r)


def _length(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])


def _towards(a: Point, b: Point, by: float) -> Point:
    length = _length(a, b) or 1
    return a[0] + (b[0] - a[0]) * by / length, a[1] + (b[1] - a[1]) * by / length
