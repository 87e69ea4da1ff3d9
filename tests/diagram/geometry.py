"""What must hold of the positions in a diagram: nothing overlaps, and edges lead where they should."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from cnnspec.diagram.draw import Diagram
from cnnspec.diagram.grid import Edge
from cnnspec.diagram.outline import Block, Item
from cnnspec.diagram.place import Placement, Point, Rect

NEAR = 0.01


def faults(diagram: Diagram, placement: Placement) -> list[str]:
    """What is wrong with the positions of a diagram."""
    rects = {item: rect for item, rect in placement.rects.items() if item is not diagram.outline.root}
    closed = {i: r for i, r in rects.items() if not isinstance(i, Block) or i in diagram.folded}
    found = [f"{a} overlaps {b}" for a, b in overlaps(closed)]
    around = diagram.outline.paths
    for item, rect in rects.items():
        for block in around[item][1:]:
            if not _holds(rects[block], rect):
                found.append(f"{item} is not within {block}")
    for edge, points in placement.edges:
        found += _edge_faults(edge, points, closed)
    found += _loose_ends(placement, rects, diagram)
    return found


def overlaps(rects: dict[Item, Rect]) -> Iterable[tuple[Item, Item]]:
    """The pairs of rectangles that have an area in common."""
    ordered = sorted(rects.items(), key=lambda entry: entry[1].y)
    for i, (a, first) in enumerate(ordered):
        for b, second in ordered[i + 1 :]:
            if second.y >= first.y + first.height - NEAR:
                break
            if first.x < second.x + second.width - NEAR and second.x < first.x + first.width - NEAR:
                yield a, b


def _holds(outer: Rect, inner: Rect) -> bool:
    return (
        outer.x <= inner.x + NEAR
        and outer.y <= inner.y + NEAR
        and inner.x + inner.width <= outer.x + outer.width + NEAR
        and inner.y + inner.height <= outer.y + outer.height + NEAR
    )


def _edge_faults(edge: Edge, points: list[Point], boxes: dict[Item, Rect]) -> list[str]:
    found = []
    for (x, y), (x2, y2) in pairwise(points):
        if x != x2 and y != y2:
            found.append(f"{edge.tensor} is askew")
        left, right, top, bottom = min(x, x2), max(x, x2), min(y, y2), max(y, y2)
        for item, rect in boxes.items():
            if (
                left < rect.x + rect.width - NEAR
                and right > rect.x + NEAR
                and top < rect.y + rect.height - NEAR
                and bottom > rect.y + NEAR
            ):
                found.append(f"{edge.tensor} crosses {item}")
    return found


def _loose_ends(placement: Placement, rects: dict[Item, Rect], diagram: Diagram) -> list[str]:
    """Edges that end elsewhere than at the border of what they lead to, or where no edge goes on."""
    starts = {(edge.tensor, _round(points[0])) for edge, points in placement.edges}
    ends = {(edge.tensor, _round(points[-1])) for edge, points in placement.edges}
    found = []
    for edge, points in placement.edges:
        source, target = edge.source.item, edge.target.item
        first, last = points[0], points[-1]
        if source and not _touches(rects[source], first):
            found.append(f"{edge.tensor} does not begin at {source}")
        if target and not _touches(rects[target], last):
            found.append(f"{edge.tensor} does not end at {target}")
        if edge.source.role == "entry" and (edge.tensor, _round(first)) not in ends:
            found.append(f"{edge.tensor} comes from nowhere")
        goes_on = edge.target.role == "exit" or (isinstance(target, Block) and target not in diagram.folded)
        if goes_on and (edge.tensor, _round(last)) not in starts:
            found.append(f"{edge.tensor} leads nowhere")
    return found


def _round(point: Point) -> tuple[float, float]:
    return round(point[0], 3), round(point[1], 3)


def _touches(rect: Rect, point: Point) -> bool:
    """Whether a point is on the upper or the lower side of a rectangle."""
    at_side = min(abs(point[1] - rect.y), abs(point[1] - rect.y - rect.height)) < NEAR
    return rect.x <= point[0] <= rect.x + rect.width and at_side
