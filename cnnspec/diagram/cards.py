"""What the boxes of a diagram look like, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from cnnspec.diagram.about import Figures, compact, contents, figures, printable, shared_with, spoken
from cnnspec.diagram.outline import Block, Box, End, Item, Layer, Outline
from cnnspec.diagram.place import Size, equally_wide
from cnnspec.diagram.scene import Group, Line, Part, Polygon, Rectangle, Text, shortened, text_width
from cnnspec.view.table import describe
from cnnspec.wording import format_shape

NAME, DETAIL, SMALL = 12.0, 10.5, 9.5
"""Sizes of text, in pixels."""
STRIP = 5.0
_LEFT, _RIGHT = 13.0, 10.0
_BAND = 19.0
_BAR, _BAR_HEIGHT, _BAR_LINE = 44.0, 5.0, 12.0
_PILE = 4.0
"""How far a folded block's second sheet shows."""
_LEAST = 120.0
_LONGEST_NAME, _LONGEST_LINE = 150.0, 230.0


class _Line(NamedTuple):
    """A line of a card: texts on the left and on the right."""

    height: float
    left: str
    right: str = ""
    bold: bool = False
    strong_right: bool = False
    size: float = DETAIL

    @property
    def width(self) -> float:
        gap = 14 if self.right else 0
        return text_width(self.left, self.size, bold=self.bold) + gap + text_width(self.right, DETAIL)


class Cards:
    """Makes the cards of an outline's items, of which those of one block are equally wide."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.sizes = equally_wide(outline, {item: self._size(item) for item in outline.paths})

    def _size(self, item: Item) -> Size:
        """Return the size of an item by what stands in it: of a block, when folded, and of its header's halves."""
        if isinstance(item, End):
            return Size(_even(34 + _end_line(item).width), 26)
        if isinstance(item, Box):
            lines = self._head(item)
            width = self._width([*lines, *map(_band, item.layers[1:])], self._figures(item.layers))
            height = 6 + sum(line.height for line in lines) + self._bars_height(item.layers) + 5
            return Size(width, height + _BAND * (len(item.layers) - 1))
        lines = self._summary(item)
        width = self._width(lines, self._figures(item.layers), 10)
        height = 6 + sum(line.height for line in lines) + 12 + self._bars_height(item.layers) + 5
        left = 34 + text_width(self._title(item), NAME, bold=True)
        right = 20 + text_width(self._header_figures(item), SMALL)
        half = _even(max(left, right))  # alike on both sides, so that what is in the block stands in its middle
        return Size(width + _PILE, height + _PILE, half, half)

    def draw(self, item: Item, *, is_button: bool = False) -> Group:
        """Return the card of an item; of a block, when it is folded. Layers may be buttons, in a page."""
        if isinstance(item, End):
            return self._end(item)
        return self._box(item, is_button) if isinstance(item, Box) else self._folded(item)

    def frame(self, block: Block, width: float, height: float, depth: int) -> list[Part]:
        """Return the frame and the header of an unfolded block."""
        fill = "frame" if depth % 2 else "paper"
        return [Rectangle(0, 0, width, height, fill, "line", 1, 7), *self.header(block, width)]

    def header(self, block: Block, width: float) -> list[Part]:
        """Return what stands in the header of an unfolded block."""
        return [
            Polygon(((9, 10), (17, 10), (13, 15)), "muted"),
            Text(22, 17, self._title(block), NAME, bold=True),
            Text(width - 9, 17, self._header_figures(block), SMALL, "muted", anchor="end"),
        ]

    def _title(self, block: Block) -> str:
        return shortened(printable(block.label), _LONGEST_NAME, NAME, bold=True)

    def _header_figures(self, block: Block) -> str:
        own = self._figures(block.layers)
        return " · ".join(compact(n) + unit for n, unit in ((own.parameters, " params"), (own.macs, " MACs")) if n)

    def _figures(self, layers: Sequence[Layer]) -> Figures:
        return figures(self.outline, layers)

    def _bars_height(self, layers: Sequence[Layer]) -> float:
        return _BAR_LINE * len(self._figures(layers).bars)

    def _width(self, lines: Sequence[_Line], own: Figures, mark: float = 0) -> float:
        bars = [_BAR + 6 + text_width(text, SMALL) for text, _, _ in own.bars]
        widest = max([*(line.width for line in lines), *bars])
        return _even(max(_LEAST, mark + _LEFT + widest + _RIGHT))

    def _head(self, box: Box) -> list[_Line]:
        """Return the lines of a box's first layer."""
        first = box.layers[0]
        shape = format_shape(first.node.shape)
        label = shortened(printable(box.label), _LONGEST_NAME, NAME, bold=True)
        lines = [_Line(16, label, shape, bold=True, strong_right=first.changes_shape, size=NAME)]
        about = describe(first.node)
        if about != first.node.kind or not box.label.rpartition(".")[2].startswith(first.node.kind):
            lines.append(_Line(14, shortened(about, _LONGEST_LINE, DETAIL)))
        if owner := shared_with(box.layers):
            lines.append(_Line(14, shortened(f"weights of {printable(owner)}", _LONGEST_LINE, DETAIL)))
        return lines

    def _summary(self, block: Block) -> list[_Line]:
        """Return the lines of a folded block."""
        layers = block.layers
        last, first = layers[-1].node, layers[0].node
        lines = [
            _Line(16, self._title(block), format_shape(last.shape), True, last.shape != first.in_shapes[0], NAME),
            _Line(14, contents(block)),
        ]
        if owner := shared_with(layers):
            lines.append(_Line(14, shortened(f"weights of {printable(owner)}", _LONGEST_LINE, DETAIL)))
        return lines

    def _box(self, box: Box, is_button: bool) -> Group:
        width, height, *_ = self.sizes[box]
        lines = self._head(box)
        tall = height - _BAND * (len(box.layers) - 1)
        parts: list[Part] = []
        for i, layer in enumerate(box.layers):
            top = 0.0 if i == 0 else tall + _BAND * (i - 1)
            low = tall if i == 0 else _BAND
            last = i == len(box.layers) - 1
            family = layer.node.layer.family
            corners = (i == 0, i == 0, last, last)
            ground: list[Part] = [
                Rectangle(0, 0, width, low, f"{family}-tint", None, 0, 5, corners),
                Rectangle(0, 0, STRIP, low, family, None, 0, 5, (i == 0, False, False, last)),
            ]
            texts = self._texts(lines, width, box.layers, _LEFT) if i == 0 else _band_texts(layer, width)
            title = "" if is_button else spoken(layer)
            parts.append(Group([*ground, *texts], 0, top, layer_attributes(layer, is_button), title))
        rules = [
            Line(((STRIP, tall + _BAND * i), (width, tall + _BAND * i)), "paper", 1) for i in range(len(parts) - 1)
        ]
        return Group([*parts, *rules, Rectangle(0, 0, width, height, None, "line", 1, 5)])

    def _texts(self, lines: Sequence[_Line], width: float, layers: Sequence[Layer], left: float) -> list[Part]:
        parts: list[Part] = []
        y = 6.0
        for line in lines:
            fill = "ink" if line.bold else "muted"
            parts.append(Text(left, y + line.height - 4, line.left, line.size, fill, line.bold))
            if line.right:
                strong = "ink" if line.strong_right else "muted"
                parts.append(Text(width - _RIGHT, y + line.height - 4, line.right, DETAIL, strong, anchor="end"))
            y += line.height
        return parts + self._bars(layers, left, y)

    def _bars(self, layers: Sequence[Layer], left: float, y: float) -> list[Part]:
        parts: list[Part] = []
        for i, (text, part, colour) in enumerate(self._figures(layers).bars):
            top = y + _BAR_LINE * i + 4
            parts += [
                Rectangle(left, top, _BAR, _BAR_HEIGHT, "paper", None, 0, 1),
                Rectangle(left, top, max(1.5, _BAR * part), _BAR_HEIGHT, colour, None, 0, 1),
                Text(left + _BAR + 6, top + 5.5, text, SMALL, "muted"),
            ]
        return parts

    def _folded(self, block: Block) -> Group:
        whole = self.sizes[block]
        width, height = whole.width - _PILE, whole.height - _PILE
        lines = self._summary(block)
        y = 6 + sum(line.height for line in lines)
        return Group(
            [
                Rectangle(_PILE, _PILE, width, height, "paper", "line", 1, 5),
                Rectangle(0, 0, width, height, "frame", "line", 1, 5),
                Polygon(((8, 9), (8, 17), (13, 13)), "muted"),
                *self._texts(lines[:1], width, (), _LEFT + 6),
                *(_moved(self._texts(lines[1:], width, (), _LEFT), 16)),
                *_barcode(block.layers, _LEFT, y + 3, width - _LEFT - _RIGHT),
                *self._bars(block.layers, _LEFT, y + 12),
            ]
        )

    def _end(self, end: End) -> Group:
        width, height, *_ = self.sizes[end]
        line = _end_line(end)
        left = 15.0
        return Group(
            [
                Rectangle(0, 0, width, height, "paper", "ink", 1.5, height / 2),
                Text(left, 17, line.left, NAME, bold=True),
                Text(width - left, 17, line.right, DETAIL, anchor="end"),
            ]
        )


def layer_attributes(layer: Layer, is_button: bool) -> dict[str, str]:
    """Return the attributes of a layer's element."""
    own = {"class": "layer", "data-name": layer.node.name}
    return own | {"role": "button", "tabindex": "0", "aria-label": printable(spoken(layer))} if is_button else own


def _even(width: float) -> float:
    """Return the next even number of pixels, of which the half is one, too: sums of those are exact."""
    return 2.0 * math.ceil(width / 2)


def _moved(parts: Sequence[Part], by: float) -> list[Part]:
    return [Group(parts, 0, by)] if parts else []


def _end_line(end: End) -> _Line:
    label = shortened(printable(end.label), _LONGEST_NAME, NAME, bold=True, keeps_end=True)
    return _Line(16, label, format_shape(end.shape), bold=True, strong_right=True, size=NAME)


def _band(layer: Layer) -> _Line:
    name = layer.node.name.rpartition(".")[2]
    kind = "" if name.startswith(layer.node.kind) else layer.node.kind
    return _Line(_BAND, shortened(printable(name), _LONGEST_NAME, DETAIL), kind)


def _band_texts(layer: Layer, width: float) -> list[Part]:
    line = _band(layer)
    parts: list[Part] = [Text(_LEFT, 13, line.left, DETAIL)]
    return parts + ([Text(width - _RIGHT, 13, line.right, DETAIL, "muted", anchor="end")] if line.right else [])


_MOST_MARKS = 40


def _barcode(layers: Sequence[Layer], left: float, top: float, width: float) -> list[Part]:
    """Return a mark for each layer in the colour of its family; one for several where there are many."""
    step = -(-len(layers) // _MOST_MARKS)
    colours = [layers[i].node.layer.family for i in range(0, len(layers), step)]
    each = width / len(colours)
    parts: list[Part] = []
    x = left
    for family, group in groupby(colours):
        for _ in group:
            parts.append(Rectangle(x, top, max(1.0, each - 1), 5, family))
            x += each
    return parts
