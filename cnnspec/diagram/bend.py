"""A tall diagram with long skips in the form of a U: down on the left, up on the right, with the skips across."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from cnnspec.diagram.grid import Cell, Edge, Grid
from cnnspec.diagram.outline import Block, Item
from cnnspec.diagram.place import Placement, Point, Rect

LEAST_SKIPS = 2
"""How many tensors must go across."""
BESIDE, LANE = 34.0, 20.0
"""Between a half and the lanes, and between two lanes."""
TURN, NEAR = 20.0, 11.0
"""From the last box to where the way turns up, and from boxes to where skips turn that were straight before."""
EDGE = 3.0
"""Half of the width of the widest edge."""


def bent(placement: Placement, root: Block, grid: Grid) -> Placement | None:
    """Return a diagram in the form of a U; None where it has too few skips across any row, or unfolded blocks.

    It is bent where most tensors pass, and one edge leads straight from a box to the next. What is below is turned by
    180°, so that edges lead up there.
    """
    if len(placement.rects) > 1 + len(root.items):
        return None
    found = _best_gap(placement, root, grid)
    return _Bend(placement, root, grid, *found).placed() if found else None


def _best_gap(placement: Placement, root: Block, grid: Grid) -> tuple[float, list[Edge], Edge] | None:
    """Return the height at which to bend, the skips that pass there, and the edge that leads straight on."""
    skips, direct = _passing(grid)
    best: tuple[tuple[int, float], float, Edge] | None = None
    for edge in grid.edges:
        gap = edge.source.last
        if len(edge.hops) > 1 or edge.hops[0].level is not None or skips[gap] < LEAST_SKIPS or direct[gap] > 1:
            continue
        if edge.source.item and edge.target.item:
            above, below = placement.rects[edge.source.item], placement.rects[edge.target.item]
            height = (above.y + above.height + below.y) / 2
            score = skips[gap], -max(height, placement.height - height)
            if best is None or score > best[0]:
                best = score, height, edge
    if best is None:
        return None
    _, height, main = best
    return height, [edge for edge in grid.edges if edge is not main and _passes(edge, main.source.last)], main


def _passing(grid: Grid) -> tuple[list[int], list[int]]:
    """Return how many tensors go down a lane below each row, and how many edges lead to the next row."""
    ends: dict[tuple[Cell, str], int] = {}
    direct = [0] * grid.rows
    for edge in grid.edges:
        if len(edge.hops) > 1:
            key = edge.source, edge.tensor
            ends[key] = max(ends.get(key, 0), edge.target.first)
        else:
            direct[edge.source.last] += 1
    change = [0] * (grid.rows + 1)
    for (source, _), end in ends.items():
        change[source.last] += 1
        change[end] -= 1
    return list(accumulate(change))[: grid.rows], direct


def _passes(edge: Edge, gap: int) -> bool:
    return edge.source.last <= gap < edge.target.first


class _Bend:
    """A diagram that is bent at a height, where `skips` go across and `main` leads on."""

    def __init__(
        self, placement: Placement, root: Block, grid: Grid, at: float, skips: Sequence[Edge], main: Edge
    ) -> None:
        self.root, self.grid, self.at, self.skips, self.main = root, grid, at, skips, main
        self.ways = dict(placement.edges)
        self.rects = {item: rect for item, rect in placement.rects.items() if item is not root}
        across = {id(edge) for edge in (*skips, main)}
        self.others = [edge for edge in self.ways if id(edge) not in across]
        above = [rect for rect in self.rects.values() if rect.y < at]
        below = [rect for rect in self.rects.values() if rect.y >= at]
        ends = max(rect.y + rect.height for rect in above), max(rect.y + rect.height for rect in below)
        first = min(rect.y for rect in below)
        self.bottom = max(ends[0], ends[1] - first)
        self.down = self.bottom - ends[0]
        """How far the left half is moved, so that its last box and the first on the right have one bottom."""
        self.up = self.bottom + first
        self.left = self._reach(above, is_above=True)
        self.middle = self.left + 2 * BESIDE + LANE * (len({(edge.source, edge.tensor) for edge in skips}) - 1)
        self.width = self.middle + self._reach(below, is_above=False)

    def _reach(self, rects: Sequence[Rect], *, is_above: bool) -> float:
        """Return how far to the right the boxes and edges of a half reach."""
        points = [point for edge in self.others for point in self.ways[edge] if (point[1] < self.at) is is_above]
        return max([rect.x + rect.width for rect in rects] + [x + EDGE for x, _ in points])

    def _first(self, point: Point) -> Point:
        return point[0], point[1] + self.down

    def _second(self, point: Point) -> Point:
        return self.width - point[0], self.up - point[1]

    def _moved(self, point: Point) -> Point:
        return self._first(point) if point[1] < self.at else self._second(point)

    def placed(self) -> Placement:
        """Return the diagram in the form of a U."""
        rects: dict[Item, Rect] = {item: self._rect(rect) for item, rect in self.rects.items()}
        edges = [(edge, [self._moved(point) for point in self.ways[edge]]) for edge in self.others]
        edges += self._across()
        (x, y), (to_x, to_y) = (self._moved(self.ways[self.main][i]) for i in (0, -1))
        edges.append((self.main, [(x, y), (x, self.bottom + TURN), (to_x, self.bottom + TURN), (to_x, to_y)]))
        height = self.bottom + TURN + EDGE
        return Placement(self.width, height, rects | {self.root: Rect(0, 0, self.width, height, 0)}, edges)

    def _rect(self, rect: Rect) -> Rect:
        if rect.y < self.at:
            return Rect(rect.x, rect.y + self.down, rect.width, rect.height, rect.axis)
        x, y = self._moved((rect.x + rect.width, rect.y + rect.height))
        return Rect(x, y, rect.width, rect.height, self.width - rect.axis)

    def _end_of_row(self, row: int) -> float:
        cells = [cell for cell in self.grid.cells if cell.first == row and cell.item]
        return max(self.rects[cell.item].y + self.rects[cell.item].height for cell in cells if cell.item)

    def _across(self) -> list[tuple[Edge, list[Point]]]:
        """Return the ways of the skips: to a lane in the middle, and from there to the other half.

        A lane that begins above another is on its right where lanes lead down, and on its left where they lead up, so
        that they do not cross.
        """
        ends: list[tuple[Edge, list[Point], list[Point]]] = []
        for edge in self.skips:
            way = self.ways[edge]
            levels = [y for (_, y), (_, other) in pairwise(way) if y == other]
            level = next((y for y in levels if y < self.at), self._end_of_row(edge.source.last) + NEAR)
            back = next((y for y in reversed(levels) if y > self.at), way[-1][1] - NEAR)
            start = [self._first(point) for point in (way[0], (way[0][0], level))]
            end = [self._second(point) for point in ((way[-1][0], back), way[-1])]
            ends.append((edge, start, end))
        leads_down = sum(end[0][1] - start[1][1] for _, start, end in ends) > 0
        ends.sort(key=lambda entry: entry[1][1][1], reverse=leads_down)
        lanes = list(dict.fromkeys((edge.source, edge.tensor) for edge, _, _ in ends))
        found = []
        for edge, start, end in ends:
            x = self.left + BESIDE + LANE * lanes.index((edge.source, edge.tensor))
            found.append((edge, [*start, (x, start[1][1]), (x, end[0][1]), *end]))
        return found
