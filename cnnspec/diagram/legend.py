"""The title above a diagram, and the legend beside or below it."""

from __future__ import annotations

import math

from cnnspec.diagram.about import compact, printable
from cnnspec.diagram.cards import DETAIL, SMALL
from cnnspec.diagram.outline import Outline
from cnnspec.diagram.palette import CALLED
from cnnspec.diagram.scene import Group, Line, Part, Rectangle, Text, shortened, text_width
from cnnspec.wording import a_count

TITLE = 17.0
HEADING = 46.0
"""The height of the title and the line below it."""
_LINE, _GAP = 18.0, 22.0
LEGEND_WIDTH = 150.0


def edge_width(numbers: int, largest: int) -> float:
    """Return the width of an edge by the numbers in its tensor, on a logarithmic scale."""
    return 1.2 + 4.8 * math.log(max(1, numbers)) / math.log(max(2, largest))


def headline(outline: Outline) -> str:
    """Return the size of the network or block, in words."""
    layers = outline.root.layers
    own = sum(layer.row.parameters for layer in layers), sum(layer.row.macs for layer in layers)
    return f"{a_count(len(layers), 'layer')}, {own[0]:,} parameters, {own[1]:,} MACs"


def heading(outline: Outline, width: float) -> list[Part]:
    """Return the title and the line below it, from (0, 0) down to `HEADING`."""
    title = shortened(printable(outline.title), max(width, 220), TITLE, bold=True)
    return [
        Text(0, 15, title, TITLE, bold=True),
        Text(0, 32, shortened(headline(outline), max(width, 320), DETAIL), DETAIL, "muted"),
    ]


def entries(outline: Outline) -> list[tuple[list[Part], str]]:
    """Return the keys and the texts of the legend."""
    layers = outline.root.layers
    families = {layer.node.layer.family for layer in layers}
    found: list[tuple[list[Part], str]] = []
    for family, called in CALLED.items():
        if family in families:
            ground = Rectangle(0, 3, 16, 11, f"{family}-tint", "line", 1, 2)
            found.append(([ground, Rectangle(0, 3, 5, 11, family, None, 0, 2, (True, False, False, True))], called))
    for colour, name, total in (
        ("ink", "params", sum(layer.row.parameters for layer in layers)),
        ("accent", "MACs", sum(layer.row.macs for layer in layers)),
    ):
        if total:
            bar = [Rectangle(0, 6, 16, 5, "line", None, 0, 1), Rectangle(0, 6, 10, 5, colour, None, 0, 1)]
            found.append((list(bar), f"share of all {name}"))
    for numbers in dict.fromkeys((min(outline.largest, 1000), outline.largest)):
        line = Line(((0, 8), (16, 8)), "edge", edge_width(numbers, outline.largest))
        found.append(([line], f"tensor of {compact(numbers)} numbers"))
    return found


def beside(outline: Outline) -> Group:
    """Return the legend as a column, `LEGEND_WIDTH` wide."""
    parts: list[Part] = []
    for i, (key, text) in enumerate(entries(outline)):
        parts += [Group(key, 0, _LINE * i), Text(22, _LINE * i + 12, text, SMALL, "muted")]
    return Group(parts, attributes={"class": "legend"})


def below(outline: Outline, width: float) -> tuple[Group, float]:
    """Return the legend in lines of at most this width, and its height."""
    parts: list[Part] = []
    x = y = 0.0
    for key, text in entries(outline):
        own = 22 + text_width(text, SMALL)
        if x and x + own > width:
            x, y = 0.0, y + _LINE
        parts += [Group(key, x, y), Text(x + 22, y + 12, text, SMALL, "muted")]
        x += own + _GAP
    return Group(parts, attributes={"class": "legend"}), y + _LINE
