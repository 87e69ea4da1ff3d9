"""A tall diagram in several columns, as a slide or a page has room for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from cnnspec.diagram.bend import EDGE, bent
from cnnspec.diagram.grid import Edge, Grid
from cnnspec.diagram.outline import Block
from cnnspec.diagram.place import Placement, Point, Rect

TALL = 800.0
"""The height that one column may have at least, whatever its width is."""
ASPECT = 0.75
"""The height that columns may have, of the width of all."""
WORTH = 0.75
"""The height of the columns, of that of one, from which on there is one column."""
GUTTER, TURN, TOP = 48.0, 16.0, 26.0
"""Between two columns, from the last box of a column to where its edge turns, and from that height to the first."""


def wrapped(placement: Placement, root: Block, grid: Grid) -> Placement:
    """Return a diagram that is tall as a U where it has long skips, in columns otherwise.

    Columns are cut where one edge alone leads from one box to the next.
    """
    width, height = placement.width, placement.height
    if height > TALL and (turned := bent(placement, root, grid)) and turned.height < WORTH * height:
        return turned
    cuts = _cuts(placement, grid)
    count = 1
    while height / count > max(TALL, ASPECT * count * (width + GUTTER)) and count <= len(cuts):
        count += 1
    chosen = _chosen([0.0, *cuts, height], count)
    is_worth_it = max(b - a for a, b in pairwise(chosen)) < WORTH * height
    return _columns(placement, root, chosen) if is_worth_it else placement


def _cuts(placement: Placement, grid: Grid) -> list[float]:
    """Return the heights at which only one edge passes, straight from one row to the next."""
    change = [0] * (grid.rows + 1)
    straight: dict[int, float] = {}
    for edge in grid.edges:
        change[edge.source.last] += 1
        change[edge.target.first] -= 1
        above, below = edge.source.item, edge.target.item
        if above and below and len(edge.hops) == 1 and edge.hops[0].level is None:
            rect = placement.rects[above]
            straight[edge.source.last] = (rect.y + rect.height + placement.rects[below].y) / 2
    passing = list(accumulate(change))
    return [height for gap, height in sorted(straight.items()) if passing[gap] == 1]


def _chosen(cuts: Sequence[float], count: int) -> list[float]:
    """Return the borders of at most so many columns, of about the same height."""
    limit = max((cuts[-1] - cuts[0]) / count, *(b - a for a, b in pairwise(cuts)))
    while True:
        chosen = [cuts[0]]
        for before, cut in pairwise(cuts):
            if cut - chosen[-1] > limit:
                chosen.append(before)
        if len(chosen) <= count:
            return [*chosen, cuts[-1]]
        limit *= 1.02


def _columns(placement: Placement, root: Block, borders: Sequence[float]) -> Placement:
    """Return the diagram with each part between two borders in a column of its own."""
    inner = borders[1:-1]
    lows, highs = [float("inf")] * (len(inner) + 1), [0.0] * (len(inner) + 1)

    def widen(column: int, left: float, right: float) -> None:
        lows[column], highs[column] = min(lows[column], left), max(highs[column], right)

    for item, rect in placement.rects.items():
        if item is not root:
            widen(bisect_right(inner, rect.y), rect.x, rect.x + rect.width)
    for _, points in placement.edges:
        for x, y in points:
            widen(bisect_right(inner, y), x - EDGE, x + EDGE)
    tops = [TOP, *(TOP - _first_top(placement, border, root) for border in inner)]
    lefts = [0.0, *accumulate(high - low + GUTTER for low, high in zip(lows, highs, strict=True))]
    shifts = [(left - low, top) for left, low, top in zip(lefts, lows, tops, strict=False)]
    gutters = [left - GUTTER / 2 for left in lefts]
    rects = {
        item: _shifted(rect, *shifts[bisect_right(inner, rect.y)])
        for item, rect in placement.rects.items()
        if item is not root
    }
    edges: list[tuple[Edge, list[Point]]] = []
    for edge, points in placement.edges:
        ends = [shifts[bisect_right(inner, y)] for _, y in points]
        moved = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(points, ends, strict=True)]
        if ends[0] != ends[-1]:
            moved = _to_next(moved[0], moved[-1], gutters[bisect_right(inner, points[-1][1])])
        edges.append((edge, moved))
    height = max(rect.y + rect.height for rect in rects.values()) + TURN
    width = lefts[-1] - GUTTER
    return Placement(width, height, rects | {root: Rect(0, 0, width, height, width / 2)}, edges)


def _first_top(placement: Placement, border: float, root: Block) -> float:
    """Return the top of what is first below a border."""
    return min(rect.y for item, rect in placement.rects.items() if item is not root and rect.y > border)


def _shifted(rect: Rect, dx: float, dy: float) -> Rect:
    return Rect(rect.x + dx, rect.y + dy, rect.width, rect.height, rect.axis + dx)


def _to_next(start: Point, end: Point, gutter: float) -> list[Point]:
    """Return the way of an edge from the end of a column, up between the columns, to the top of the next."""
    low, high = start[1] + TURN, end[1] - TOP + EDGE
    return [start, (start[0], low), (gutter, low), (gutter, high), (end[0], high), end]
