"""A diagram as a part of an HTML page, in which blocks are folded and unfolded.

Every block is there twice, folded and unfolded, and hides one of the two. Its grid and the sizes stand in the attribute
`data-layout`, from which the page's script computes positions as place.py does. Colours are classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cnnspec.diagram import legend
from cnnspec.diagram.about import printable, spoken_block
from cnnspec.diagram.cards import Cards
from cnnspec.diagram.grid import Cell, Edge, Grid
from cnnspec.diagram.outline import Block, Box, Item, Outline
from cnnspec.diagram.picture import PIXELS, RADIUS, Picture, about, edge_parts, has_head, numbers
from cnnspec.diagram.place import Placement, Size
from cnnspec.diagram.scene import Group, Part, Rectangle
from cnnspec.diagram.svg import FONT, Writer, text_of

MARGIN = 12.0
LEGEND_WIDTH = 560.0


def fragment_of(picture: Picture, layout: str | None = None) -> str:
    """Return a picture as an element of a page, whose style sheet has the colours."""
    width, height = round(picture.width), round(picture.height)
    data = f' data-layout="{text_of(layout)}"' if layout else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cnnspec-diagram" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="group" font-family="{FONT}" aria-label="{text_of(picture.title)}"{data}>'
        f"<desc>{text_of(picture.about)}</desc>{''.join(map(Writer(None).part, picture.parts))}</svg>\n"
    )


class Fragment:
    """Writes a diagram with the blocks that are folded at first."""

    def __init__(
        self,
        outline: Outline,
        grids: Mapping[Block, Grid],
        cards: Cards,
        sizes: Mapping[Item, Size],
        placement: Placement,
        folded: frozenset[Block],
    ) -> None:
        self.outline, self.grids, self.cards, self.sizes, self.folded = outline, grids, cards, sizes, folded
        self.rects, self.points = placement.rects, dict(placement.edges)
        self.width, self.height = placement.width, placement.height
        self.ids = {item: i for i, item in enumerate((outline.root, *outline.paths))}
        self.numbers = numbers(outline)

    def svg(self) -> str:
        """Return the element."""
        keys, tall = legend.below(self.outline, LEGEND_WIDTH)
        top = MARGIN + tall + 16
        body = Group(self._inside(self.outline.root, 0), MARGIN, top, {"class": "body"})
        width, height = max(self.width, LEGEND_WIDTH) + 2 * MARGIN, self.height + top + MARGIN
        title = f"Diagram of {printable(self.outline.title)}"
        layout = json.dumps(self._layout(top), separators=(",", ":"))
        parts = [Group([keys], MARGIN, MARGIN), body]
        return fragment_of(Picture(parts, width, height, title, about(self.outline)), layout)

    def _inside(self, block: Block, depth: int) -> list[Part]:
        """Return the edges and the items of a block."""
        parts: list[Part] = []
        for i, edge in enumerate(self.grids[block].edges):
            parts.append(self._edge(i, edge, block))
        for item in block.items:
            parts.append(self._block(item, block, depth + 1) if isinstance(item, Block) else self._card(item, block))
        return parts

    def _edge(self, index: int, edge: Edge, block: Block) -> Part:
        corner = self.rects.get(block)
        points = (
            [(x - corner.x, y - corner.y) for x, y in self.points[edge]] if corner and edge in self.points else None
        )
        width = legend.edge_width(self.numbers[edge.tensor], self.outline.largest)
        parts = edge_parts(points or [(0, 0), (0, 0)], width, has_head=has_head(edge, self.folded), hides_head=True)
        return Group(parts, attributes={"class": "edge", "data-edge": str(index)})

    def _card(self, item: Item, block: Block) -> Part:
        attributes = {"class": "box" if isinstance(item, Box) else "end", "data-id": str(self.ids[item])}
        return Group([self.cards.draw(item, is_button=True)], *self._corner(item, block), attributes)

    def _corner(self, item: Item, block: Block) -> tuple[float, float]:
        """Return the corner of an item in its block; anything where it is not visible at first."""
        if item not in self.rects or block not in self.rects:
            return 0, 0
        return self.rects[item].x - self.rects[block].x, self.rects[item].y - self.rects[block].y

    def _block(self, block: Block, around: Block, depth: int) -> Part:
        is_open = block not in self.folded
        width, height = self.rects[block][2:4] if is_open and block in self.rects else self.sizes[block][:2]
        frame, *header = self.cards.frame(block, width, height, depth)
        assert isinstance(frame, Rectangle)
        hit = Rectangle(2, 2, width - 4, PIXELS.header - 4, frame.fill, None, 0, 6)
        toggle = {
            "class": "toggle",
            "role": "button",
            "tabindex": "0",
            "aria-expanded": str(is_open).lower(),
            "aria-label": printable(spoken_block(block)),
        }
        open_part, closed = {"class": "open"}, {"class": "closed"}
        return Group(
            [
                frame,
                Group(
                    [Group([hit, *header], 0, 0, open_part), Group([self.cards.draw(block)], 0, 0, closed)],
                    0,
                    0,
                    toggle,
                ),
                Group(self._inside(block, depth), 0, 0, {"class": "inside"}),
            ],
            *self._corner(block, around),
            {
                "class": "block",
                "data-name": block.name,
                "data-id": str(self.ids[block]),
                "data-folded": str(not is_open).lower(),
            },
        )

    def _layout(self, top: float) -> dict[str, Any]:
        """Return what the script computes positions from; cells, segments and tensors are numbers there."""
        return {
            "metrics": PIXELS._asdict(),
            "radius": RADIUS,
            "corner": [MARGIN, top],
            "margin": MARGIN,
            "least": LEGEND_WIDTH,
            "sizes": [[round(n, 2) for n in self.sizes[item]] for item in self.ids],
            "grids": {self.ids[block]: self._grid(grid) for block, grid in self.grids.items()},
        }

    def _grid(self, grid: Grid) -> dict[str, Any]:
        index: dict[Cell, int] = {cell: i for i, cell in enumerate(grid.cells)}
        segments = {id(segment): i for i, segment in enumerate(grid.segments)}
        tensors: dict[str, int] = {tensor: i for i, tensor in enumerate(self.numbers)}
        return {
            "rows": grid.rows,
            "ports": grid.has_ports,
            "levels": grid.levels,
            "segments": [[s.columns, s.low, s.high] for s in grid.segments],
            "cells": [
                [
                    cell.role,
                    self.ids[cell.item] if cell.item else None,
                    tensors[cell.tensor] if cell.tensor else None,
                    cell.first,
                    cell.column,
                    segments[id(grid.segment_of[cell])],
                ]
                for cell in grid.cells
            ],
            "edges": [
                [
                    tensors[edge.tensor],
                    round(legend.edge_width(self.numbers[edge.tensor], self.outline.largest), 2),
                    [[index[hop.source], index[hop.target], hop.gap, hop.level] for hop in edge.hops],
                ]
                for edge in grid.edges
            ],
        }
