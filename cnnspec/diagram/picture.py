"""The whole picture of a network: its boxes and edges, with a title and a legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cnnspec.diagram import legend
from cnnspec.diagram.about import printable, spoken_block
from cnnspec.diagram.cards import Cards
from cnnspec.diagram.grid import Edge, Grid
from cnnspec.diagram.legend import edge_width
from cnnspec.diagram.outline import Block, Box, End, Item, Outline
from cnnspec.diagram.place import Metrics, Placement, Point, Rect
from cnnspec.diagram.scene import Group, Line, Part, Polygon
from cnnspec.wording import format_shape

MARGIN = 20.0
PIXELS = Metrics(gap=28, port_gap=22, turn=0.5, level=8, column=18, lane=10, padding=14, header=26)
RADIUS = 9.0
"""Of the corners of edges."""


@dataclass(frozen=True)
class Picture:
    """A scene and its size, and what it is in words."""

    parts: Sequence[Part]
    width: float
    height: float
    title: str
    about: str


def picture(
    outline: Outline, grids: Mapping[Block, Grid], cards: Cards, placement: Placement, folded: frozenset[Block]
) -> Picture:
    """Return the picture of what is visible."""
    body = _Body(outline, grids, cards, placement, folded)
    drawn = Group([*body.block(outline.root, 0)], MARGIN, MARGIN + legend.HEADING)
    title = f"Diagram of {printable(outline.title)}"
    return framed(outline, drawn, placement.width, placement.height, title, about(outline))


def framed(outline: Outline, drawn: Group, width: float, height: float, title: str, text: str) -> Picture:
    """Return a picture with the title above and the legend: beside what is taller than wide, else below it."""
    if height > width:
        key = Group([legend.beside(outline)], MARGIN + width + 36, MARGIN + legend.HEADING)
        whole = width + 36 + legend.LEGEND_WIDTH, max(height, 18.0 * len(legend.entries(outline)))
    else:
        keys, tall = legend.below(outline, width)
        key = Group([keys], MARGIN, MARGIN + legend.HEADING + height + 24)
        whole = width, height + 24 + tall
    parts = [Group(legend.heading(outline, whole[0]), MARGIN, MARGIN), drawn, key]
    return Picture(parts, whole[0] + 2 * MARGIN, whole[1] + 2 * MARGIN + legend.HEADING, title, text)


def about(outline: Outline) -> str:
    """Return what the picture shows, for those who do not see it."""
    names = []
    for item in outline.root.items:
        if isinstance(item, End):
            names.append(f"{item.label} {format_shape(item.shape)}")
        elif isinstance(item, Box):
            names.append(f"{item.label} {format_shape(item.layers[-1].node.shape)}")
        else:
            names.append(f"block {item.label} {format_shape(item.layers[-1].node.shape)}")
    shown = names if len(names) <= 40 else [*names[:39], f"and {len(names) - 39} more"]
    return printable(f"{legend.headline(outline)}. From the top: {', '.join(shown)}.")


class _Body:
    """Draws the blocks and edges at their places."""

    def __init__(
        self,
        outline: Outline,
        grids: Mapping[Block, Grid],
        cards: Cards,
        placement: Placement,
        folded: frozenset[Block],
    ) -> None:
        self.outline, self.grids, self.cards, self.folded = outline, grids, cards, folded
        self.rects = placement.rects
        self.points = dict(placement.edges)
        self.numbers = numbers(outline)

    def block(self, block: Block, depth: int) -> list[Part]:
        """Return the parts of an unfolded block."""
        rect = self.rects[block]
        parts: list[Part] = []
        if depth:
            frame = self.cards.frame(block, rect.width, rect.height, depth)
            parts.append(Group(frame, rect.x, rect.y, title=spoken_block(block)))
        parts += [self._edge(edge) for edge in self.grids[block].edges]
        for item in block.items:
            if isinstance(item, Block) and item not in self.folded:
                parts += self.block(item, depth + 1)
            else:
                parts.append(self._card(item, self.rects[item]))
        return parts

    def _card(self, item: Item, rect: Rect) -> Group:
        title = spoken_block(item) if isinstance(item, Block) else ""
        attributes = {"class": "block", "data-name": item.name} if isinstance(item, Block) else {}
        return Group([self.cards.draw(item)], rect.x, rect.y, attributes, title)

    def _edge(self, edge: Edge) -> Group:
        width = edge_width(self.numbers[edge.tensor], self.outline.largest)
        parts = edge_parts(self.points[edge], width, has_head=has_head(edge, self.folded))
        return Group(parts, attributes={"class": "edge"})


def numbers(outline: Outline) -> dict[str, int]:
    """Return how many numbers each tensor has."""
    sizes = {layer.node.name: math.prod(layer.node.shape) for layer in outline.root.layers}
    return sizes | {end.tensor: math.prod(end.shape) for end in outline.root.items if isinstance(end, End)}


def has_head(edge: Edge, folded: frozenset[Block]) -> bool:
    """Whether an edge ends at a box, and does not go on within a block or leave one."""
    target = edge.target.item
    return target is not None and (target in folded or not isinstance(target, Block))


def edge_parts(points: Sequence[Point], width: float, *, has_head: bool, hides_head: bool = False) -> list[Part]:
    """Return an edge as a line, and a head that touches its target; without one, that is hidden or left out."""
    x, y = points[-1]
    back = -1 if y >= points[-2][1] else 1
    line = [*points[:-1], (x, y + 3 * back)] if has_head else [*points]
    parts: list[Part] = [Line(tuple(line), "edge", width, RADIUS)]
    half = 3 + width / 2
    head = Polygon(((x - half, y + 7 * back), (x + half, y + 7 * back), (x, y)), "edge")
    if has_head:
        parts.append(head)
    elif hides_head:
        parts.append(replace(head, is_hidden=True))
    return parts
