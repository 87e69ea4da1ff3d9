"""Draw a network: `draw` returns a diagram, which is written as SVG, as PNG, or as text."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from cnnspec.diagram import png, svg, text
from cnnspec.diagram.arrange import arrange
from cnnspec.diagram.cards import Cards
from cnnspec.diagram.fragment import Fragment, fragment_of
from cnnspec.diagram.grid import Grid
from cnnspec.diagram.outline import Block, Item, Outline, outline
from cnnspec.diagram.palette import Theme
from cnnspec.diagram.picture import PIXELS, Picture, picture
from cnnspec.diagram.place import Placement, Size, place
from cnnspec.diagram.stack import check_chain, stack_picture
from cnnspec.diagram.wrap import wrapped
from cnnspec.graph.graph import Graph

View = Literal["graph", "stack"]

READABLE = 30
"""The most boxes of a diagram whose depth is chosen."""


def draw(graph: Graph, *, view: View = "graph", depth: int | None = None, block: str | None = None) -> Diagram:
    """Return the diagram of a network, or of one block of it alone.

    Blocks that have more than `depth` blocks around them are folded; None chooses the depth, so that the diagram stays
    readable. Raise KeyError for a block that is not there, and DiagramError for a stack of what is no chain.
    """
    if view == "stack":
        check_chain(graph)
    whole = outline(graph, block)
    chosen = _readable(whole) if depth is None else depth
    folded = frozenset(b for b, d in _depths(whole).items() if d >= chosen)
    return (StackDiagram if view == "stack" else Diagram)(whole, folded)


def _depths(whole: Outline) -> dict[Block, int]:
    """Return how many blocks are around each block, that of the whole network left out."""
    return {item: len(around) - 1 for item, around in whole.paths.items() if isinstance(item, Block)}


def _readable(whole: Outline) -> int:
    """Return the largest depth at which a diagram has few boxes; 0 where it has many at any depth."""
    depths = _depths(whole)
    for depth in range(max(depths.values(), default=0) + 1, 0, -1):
        folded = {block for block, d in depths.items() if d >= depth}
        visible = [
            item
            for item, around in whole.paths.items()
            if folded.isdisjoint(around) and (not isinstance(item, Block) or item in folded)
        ]
        if len(visible) <= READABLE:
            return depth
    return 0


class Diagram:
    """The picture of a network, in which some blocks are folded."""

    def __init__(self, whole: Outline, folded: frozenset[Block]) -> None:
        self.outline = whole
        self.folded = folded
        self.grids: dict[Block, Grid] = arrange(whole)
        self.cards = Cards(whole)
        self.sizes: dict[Item, Size] = self.cards.sizes

    @cached_property
    def placement(self) -> Placement:
        """The positions of what is visible."""
        return place(self.outline.root, self.grids, self.sizes, self.folded, PIXELS)

    @cached_property
    def picture(self) -> Picture:
        """The picture of what is visible, in several columns where it is tall."""
        root = self.outline.root
        placement = wrapped(self.placement, root, self.grids[root])
        return picture(self.outline, self.grids, self.cards, placement, self.folded)

    def svg(self, theme: svg.Theme = "auto") -> str:
        """Return the picture as an SVG file; `auto` follows the light or dark colours of who looks at it."""
        return svg.svg(self.picture, theme)

    def fragment(self) -> str:
        """Return the diagram as an element of an HTML page, with the style sheet and the script of `assets`."""
        return Fragment(self.outline, self.grids, self.cards, self.sizes, self.placement, self.folded).svg()

    def text(self, width: int, *, ascii_only: bool = False) -> str:
        """Return the diagram as lines for a terminal of so many columns; more blocks are folded where it is narrow."""
        return text.text(self.outline, self.grids, self.folded, width, ascii_only=ascii_only)

    def png(self, scale: float = 2.0, theme: Theme = "light") -> bytes:
        """Return the picture as a PNG file, `scale` pixels for each of the picture's; needs the extra `images`."""
        return png.png(self.picture, scale, theme)


class StackDiagram(Diagram):
    """The picture of a chain as a stack of feature maps."""

    @cached_property
    def picture(self) -> Picture:
        """The stack."""
        return stack_picture(self.outline)

    def fragment(self) -> str:
        """Return the stack as an element of an HTML page."""
        return fragment_of(stack_picture(self.outline, is_button=True))
