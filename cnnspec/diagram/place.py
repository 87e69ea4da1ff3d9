"""The positions of everything in a diagram, for the blocks that are folded: sums over the rows and columns of grids.

assets/diagram.js has the same sums, for the page in which blocks are folded and unfolded; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from cnnspec.diagram.grid import Cell, Edge, Grid, Segment
from cnnspec.diagram.outline import Block, End, Item, Outline


class Metrics(NamedTuple):
    """The distances of a diagram, in pixels or in the cells of a terminal."""

    gap: float
    """Between two rows, beside the levels between them."""
    port_gap: float
    """Between the border of a block and its first or last row."""
    turn: float
    """Where in that distance the first level is at which edges go sideways: a half is in the middle."""
    level: float
    """Between two levels at which edges go sideways."""
    column: float
    """Between two columns."""
    lane: float
    """The width of a lane."""
    padding: float
    """Between the sides of a block and its columns."""
    header: float
    """The height of a block's header."""


class Size(NamedTuple):
    """The size of a box or of a folded block, and of the two halves of an unfolded block's header."""

    width: float
    height: float
    left: float = 0
    right: float = 0


class Rect(NamedTuple):
    """A rectangle, and the axis on which edges reach it."""

    x: float
    y: float
    width: float
    height: float
    axis: float


Point = tuple[float, float]


@dataclass
class Placement:
    """The rectangles of the items that are visible, and the points of the edges between them."""

    width: float = 0
    height: float = 0
    rects: dict[Item, Rect] = field(default_factory=dict)
    edges: list[tuple[Edge, list[Point]]] = field(default_factory=list)


def place(
    root: Block, grids: Mapping[Block, Grid], sizes: Mapping[Item, Size], folded: frozenset[Block], metrics: Metrics
) -> Placement:
    """Return the positions of everything that is visible where these blocks are folded."""
    frame = _measure(root, grids, sizes, folded, metrics)
    placement = Placement(frame.width, frame.height)
    _put(root, frame, 0, 0, placement)
    return placement


def equally_wide(outline: Outline, sizes: Mapping[Item, Size]) -> dict[Item, Size]:
    """Return sizes by which the boxes and folded blocks of one block are equally wide; the network has none."""
    found = {outline.root: Size(0, 0), **sizes}
    for block in (outline.root, *(item for item in outline.paths if isinstance(item, Block))):
        boxes = [item for item in block.items if not isinstance(item, End)]
        width = max((sizes[item].width for item in boxes), default=0)
        found |= {item: sizes[item]._replace(width=width) for item in boxes}
    return found


@dataclass
class _Frame:
    """A block, measured: its size, its axis, and where its rows and cells are within it."""

    grid: Grid | None
    width: float
    height: float
    axis: float
    tops: list[float] = field(default_factory=list)
    bottoms: list[float] = field(default_factory=list)
    x: dict[Cell, float] = field(default_factory=dict)
    """The axis of each cell."""
    inner: dict[Cell, _Frame] = field(default_factory=dict)
    """The items in the cells."""
    ports: dict[tuple[str, str | None], float] = field(default_factory=dict)
    """Where tensors enter a folded block and leave it, by the role of the port and the tensor."""
    turns: list[float] = field(default_factory=list)
    """From the bottom of each row to the first level."""
    level: float = 0


def _measure(
    item: Item, grids: Mapping[Block, Grid], sizes: Mapping[Item, Size], folded: frozenset[Block], metrics: Metrics
) -> _Frame:
    size = sizes[item]
    if not isinstance(item, Block):
        return _Frame(None, size.width, size.height, size.width / 2)
    grid = grids[item]
    if item in folded:
        return _Frame(None, size.width, size.height, size.width / 2, ports=_spread(grid, size.width, metrics))
    frame = _Frame(grid, 0, 0, 0, level=metrics.level)
    for cell in grid.cells:
        if cell.item is not None:
            frame.inner[cell] = _measure(cell.item, grids, sizes, folded, metrics)
    padding = metrics.padding if grid.has_ports else 0
    left, right = _across(frame, grid, metrics)
    frame.axis = max(left + padding, size.left)
    frame.width = frame.axis + max(right + padding, size.right)
    for cell in frame.x:
        frame.x[cell] += frame.axis
    frame.height = _down(frame, grid, metrics)
    return frame


def _spread(grid: Grid, width: float, metrics: Metrics) -> dict[tuple[str, str | None], float]:
    """Return where tensors enter a folded block and leave it: side by side around its middle."""
    found: dict[tuple[str, str | None], float] = {}
    for role in ("entry", "exit"):
        ports = sorted((cell for cell in grid.cells if cell.role == role), key=lambda cell: cell.column)
        step = min(metrics.lane, width / (len(ports) + 1))
        for i, port in enumerate(ports):
            found[role, port.tensor] = width / 2 + (i - (len(ports) - 1) / 2) * step
    return found


def _across(frame: _Frame, grid: Grid, metrics: Metrics) -> tuple[float, float]:
    """Set the axis of each cell, counted from that of the block; return how far the block reaches on both sides."""
    left = right = 0.0
    for segment in grid.segments:
        before, behind = [0.0] * segment.columns, [0.0] * segment.columns
        for cell in segment.cells:
            inner = frame.inner.get(cell)
            halves = (inner.axis, inner.width - inner.axis) if inner else (metrics.lane / 2, metrics.lane / 2)
            before[cell.column] = max(before[cell.column], halves[0])
            behind[cell.column] = max(behind[cell.column], halves[1])
        axes, end = [], -metrics.column
        for half, other in zip(before, behind, strict=True):
            axes.append(end + metrics.column + half)
            end = axes[-1] + other
        middle = _middle(segment, axes, before, behind)
        left, right = max(left, middle), max(right, end - middle)
        for cell in segment.cells:
            frame.x[cell] = axes[cell.column] - middle
    return left, right


def _middle(segment: Segment, axes: Sequence[float], before: Sequence[float], behind: Sequence[float]) -> float:
    """Return the place of a segment's axis: that of its only column with items, or the middle of those that have."""
    low, high = segment.low, segment.high
    return axes[low] if low == high else (axes[low] - before[low] + axes[high] + behind[high]) / 2


def _down(frame: _Frame, grid: Grid, metrics: Metrics) -> float:
    """Set the top and the bottom of each row; return the height of the block."""
    heights = [0.0] * grid.rows
    for cell, inner in frame.inner.items():
        heights[cell.first] = max(heights[cell.first], inner.height)
    y = metrics.header if grid.has_ports else 0
    for row, height in enumerate(heights):
        frame.tops.append(y)
        frame.bottoms.append(y + height)
        if row + 1 < grid.rows:
            at_port = grid.has_ports and row in (0, grid.rows - 2)
            gap = metrics.port_gap if at_port else metrics.gap
            frame.turns.append(gap * metrics.turn)
            y += height + gap + metrics.level * grid.levels[row]
    return frame.bottoms[-1]


def _put(block: Block, frame: _Frame, x: float, y: float, placement: Placement) -> None:
    """Add the rectangles and edges of a block whose corner is at (x, y)."""
    placement.rects[block] = Rect(x, y, frame.width, frame.height, x + frame.axis)
    assert frame.grid is not None
    at: dict[Cell, Point] = {}
    for cell, inner in frame.inner.items():
        assert cell.item is not None
        corner = x + frame.x[cell] - inner.axis, y + frame.tops[cell.first]
        at[cell] = corner
        if isinstance(cell.item, Block) and inner.grid is not None:
            _put(cell.item, inner, *corner, placement)
        else:
            placement.rects[cell.item] = Rect(*corner, inner.width, inner.height, corner[0] + inner.axis)
    for edge in frame.grid.edges:
        points = [_port(frame, edge.source, edge.tensor, "exit", at, x, y)]
        for hop in edge.hops:
            end = _port(frame, hop.target, edge.tensor, "entry", at, x, y)
            if hop.level is not None:
                turn = y + frame.bottoms[hop.gap] + frame.turns[hop.gap] + hop.level * frame.level
                points += [(points[-1][0], turn), (end[0], turn)]
            points.append(end)
        placement.edges.append((edge, _simplified(points)))


def _port(frame: _Frame, cell: Cell, tensor: str, role: str, at: Mapping[Cell, Point], x: float, y: float) -> Point:
    """Return where an edge leaves a cell (by an "exit") or reaches it (by an "entry")."""
    inner = frame.inner.get(cell)
    if inner is None:
        if cell.role == "lane":
            return x + frame.x[cell], y + frame.tops[cell.first]
        return x + frame.x[cell], y + (frame.height if cell.role == "exit" else 0)
    corner = at[cell]
    across = inner.ports.get((role, tensor), inner.axis)
    if inner.grid is not None:
        across = next(inner.x[port] for port in inner.grid.cells if port.role == role and port.tensor == tensor)
    return corner[0] + across, corner[1] + (inner.height if role == "exit" else 0)


def _simplified(points: Sequence[Point]) -> list[Point]:
    """Return the points at which an edge turns, and its ends."""
    kept = [points[0]]
    for before, point in pairwise(points):
        if point != before:
            while len(kept) > 1 and kept[-2][0] == kept[-1][0] == point[0]:
                kept.pop()
            kept.append(point)
    return kept
