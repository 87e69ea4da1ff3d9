"""A diagram as text for a terminal: the same grids as in pictures, measured in characters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import floor

from cnnspec.diagram.about import contents, figures, printable, shared_with, title_of
from cnnspec.diagram.canvas import Canvas, cut, either
from cnnspec.diagram.grid import Grid
from cnnspec.diagram.legend import headline
from cnnspec.diagram.outline import Block, Box, End, Item, Outline
from cnnspec.diagram.picture import has_head
from cnnspec.diagram.place import Metrics, Point, Rect, Size, equally_wide, place
from cnnspec.view.table import describe
from cnnspec.wording import cells, format_shape

CHARACTERS = Metrics(gap=1, port_gap=1, turn=0, level=1, column=2, lane=2, padding=2, header=1)
_WIDTHS = (46, 34, 26, 20), (14,)
"""The most characters of a line within a box that are tried, until the diagram is narrow enough; of each group, first
with the blocks unfolded that should be, then with all folded."""


def text(
    outline: Outline, grids: Mapping[Block, Grid], folded: frozenset[Block], width: int, *, ascii_only: bool = False
) -> str:
    """Return a diagram of at most so many columns; where its branches do not fit beside each other, a list."""
    title = cut(either(printable(outline.title), ascii_only=ascii_only), width, ascii_only=ascii_only)
    about = cut(headline(outline), width, ascii_only=ascii_only)
    every = frozenset(item for item in outline.paths if isinstance(item, Block))
    for chosen, most in [(chosen, most) for widths in _WIDTHS for chosen in (folded, every) for most in widths]:
        terminal = _Terminal(outline, grids, chosen, most, ascii_only)
        if terminal.placement.width <= width:
            return "\n".join([title, about, "", *terminal.rows()])
    return "\n".join([title, about, "", *_list(outline, folded, width, ascii_only)])


class _Terminal:
    """A diagram whose boxes have lines of at most so many characters."""

    def __init__(
        self, outline: Outline, grids: Mapping[Block, Grid], folded: frozenset[Block], most: int, ascii_only: bool
    ) -> None:
        self.outline, self.grids, self.folded, self.most, self.ascii_only = outline, grids, folded, most, ascii_only
        self.lines = {item: self._lines(item) for item in outline.paths}
        sizes = equally_wide(outline, {item: self._size(item) for item in outline.paths})
        self.placement = place(outline.root, grids, sizes, folded, CHARACTERS)

    def _lines(self, item: Item) -> list[tuple[str, str]]:
        """Return the lines within a box, each with what stands on its left and on its right."""
        if isinstance(item, End):
            return self._side_by_side(printable(item.label), format_shape(item.shape))
        layers = item.layers if isinstance(item, Block) else list(item.layers)
        if isinstance(item, Block):
            lines = self._side_by_side(f"▸ {printable(item.label)}", format_shape(layers[-1].node.shape))
            lines += self._left(contents(item))
        else:
            lines = self._side_by_side(title_of(item), format_shape(layers[0].node.shape))
            about = describe(layers[0].node)
            lines += self._left(about if about != layers[0].node.kind else "")
            lines += self._left(", ".join(f"+ {layer.node.kind}" for layer in layers[1:]).replace(", + ", ", "))
        owner = shared_with(layers)
        lines += self._left(f"weights of {printable(owner)}" if owner else "")
        own = [text for text, _, _ in figures(self.outline, layers).bars]
        together = " · ".join(own)
        for text in [together] if cells(together) <= self.most else own:
            lines += self._left(text)
        return lines

    def _side_by_side(self, left: str, right: str) -> list[tuple[str, str]]:
        """Return both texts in one line where it has room, and in two lines otherwise."""
        if cells(left) + 2 + cells(right) <= self.most:
            return [(self._own(left), self._own(right))]
        return [*self._left(left), ("", self._own(right))]

    def _left(self, text: str) -> list[tuple[str, str]]:
        return [(self._own(text), "")] if text else []

    def _own(self, text: str) -> str:
        """Return a text as it fits into a line of the box."""
        return cut(either(text, ascii_only=self.ascii_only), self.most, ascii_only=self.ascii_only)

    def _size(self, item: Item) -> Size:
        lines = self.lines[item]
        width = 4 + max(cells(left) + (2 + cells(right) if left and right else cells(right)) for left, right in lines)
        half = cells(self._header(item)) + 4 if isinstance(item, Block) else 0
        return Size(width + width % 2, len(lines) + 2, half, 2)

    def _header(self, block: Block) -> str:
        name = cut(printable(block.label), self.most, ascii_only=self.ascii_only)
        return either(f"▾ {name}", ascii_only=self.ascii_only)

    def rows(self) -> list[str]:
        """Return the lines of the diagram."""
        width, height = _cell((self.placement.width, self.placement.height))
        canvas = Canvas(width + 1, height + 1, ascii_only=self.ascii_only)
        for item, rect in self.placement.rects.items():
            if item is not self.outline.root:
                canvas.box(*_corner(rect), *_cell((rect.width, rect.height)))
        for edge, points in self.placement.edges:
            self._edge(canvas, points, has_head=has_head(edge, self.folded))
        for item, rect in self.placement.rects.items():
            self._draw(canvas, item, rect)
        rows = canvas.rows()
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _edge(self, canvas: Canvas, points: list[Point], *, has_head: bool) -> None:
        steps = [_cell(point) for point in points]
        (x, y), (end_x, end_y) = steps[0], steps[-1]
        steps = [(x, y - 1), *steps[:-1], (end_x, end_y - 1 if has_head else end_y)]
        for (a, b), (c, d) in pairwise(steps):
            canvas.join(a, b, c, d)
        if has_head:
            canvas.head(end_x, end_y - 1)

    def _draw(self, canvas: Canvas, item: Item, rect: Rect) -> None:
        """Write what stands in a box, or in the header of an unfolded block."""
        x, y = _corner(rect)
        if item is self.outline.root:
            return
        if isinstance(item, Block) and item not in self.folded:
            canvas.write(x + 2, y, f" {self._header(item)} ")
            return
        right = x + _cell((rect.width, 0))[0] - 2
        for i, (text, other) in enumerate(self.lines[item]):
            canvas.write(x + 2, y + 1 + i, text)
            canvas.write(right - cells(other), y + 1 + i, other)


def _cell(point: Point) -> tuple[int, int]:
    return floor(point[0] + 0.5), floor(point[1] + 0.5)


def _corner(rect: Rect) -> tuple[int, int]:
    """Return the cell of a rectangle's corner, so that its axis is in the column in which edges are drawn."""
    return _cell((rect.axis, 0))[0] - floor(rect.axis - rect.x + 0.5), _cell((0, rect.y))[1]


def _list(outline: Outline, folded: frozenset[Block], width: int, ascii_only: bool) -> list[str]:
    """Return a line for each box, with what it reads where that is not the box above."""
    lines = []
    before: str | None = None
    for item, around in outline.paths.items():
        if not folded.isdisjoint(around):
            continue
        indent = "  " * (len(around) - 1)
        if isinstance(item, End):
            lines.append(f"{indent}{printable(item.label)}  {format_shape(item.shape)}")
            before = item.tensor if item.is_input else before
        elif isinstance(item, Block):
            mark = "▸" if item in folded else "▾"
            lines.append(f"{indent}{mark} {printable(item.label)}  {format_shape(item.layers[-1].node.shape)}")
        else:
            lines.append(f"{indent}{_about(item, before)}")
            before = item.layers[-1].node.name
    return [cut(either(line, ascii_only=ascii_only), width, ascii_only=ascii_only) for line in lines]


def _about(box: Box, before: str | None) -> str:
    first = box.layers[0].node
    kinds = ", ".join([describe(first), *(layer.node.kind for layer in box.layers[1:])])
    reads = "" if first.inputs == (before,) else f"  reads {', '.join(map(printable, first.inputs))}"
    return f"{printable(box.label)}  {kinds}  {format_shape(first.shape)}{reads}"
