"""A picture as SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

from cnnspec.diagram.corners import round_corners
from cnnspec.diagram.palette import PALETTES
from cnnspec.diagram.picture import Picture
from cnnspec.diagram.scene import Group, Line, Part, Point, Polygon, Rectangle, Text

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
Theme = Literal["auto", "light", "dark"]
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(picture: Picture, theme: Theme = "auto") -> str:
    """Return a picture as a file of its own, whose colours follow those of the page's reader for `auto`.

    The colours of the light theme stand in attributes, which programs read that know no style sheets.
    """
    writer = Writer(PALETTES["dark" if theme == "dark" else "light"], with_classes=theme == "auto")
    size = f"{_number(picture.width)} {_number(picture.height)}"
    width, height = size.split()
    style = f"<style>{_dark_style()}</style>" if theme == "auto" else ""
    ground = Rectangle(0, 0, picture.width, picture.height, "paper")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {size}" '
            f'role="img" aria-labelledby="title desc" font-family="{FONT}">',
            f'<title id="title">{text_of(picture.title)}</title>',
            f'<desc id="desc">{text_of(picture.about)}</desc>',
            *([style] if style else []),
            *map(writer.part, (ground, *picture.parts)),
            "</svg>\n",
        ]
    )


def _dark_style() -> str:
    rules = "".join(f".f-{name}{{fill:{c}}}.s-{name}{{stroke:{c}}}" for name, c in PALETTES["dark"].items())
    return f"@media (prefers-color-scheme: dark){{{rules}}}"


def text_of(text: str) -> str:
    """Return a text for XML; characters that XML does not have are written out."""
    return escape(_NOT_IN_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


class Writer:
    """Writes the parts of a picture as elements; with colours from a palette, or with classes, or with both."""

    def __init__(self, palette: Mapping[str, str] | None, *, with_classes: bool = True) -> None:
        self.palette = palette
        self.with_classes = with_classes

    def part(self, part: Part) -> str:
        """Return a part as an element."""
        match part:
            case Rectangle():
                return self._rectangle(part)
            case Polygon():
                points = " ".join(f"{_number(x)},{_number(y)}" for x, y in part.points)
                hidden = ' display="none"' if part.is_hidden else ""
                return f'<polygon points="{points}"{self._colours(part.fill, part.stroke)}{hidden}/>'
            case Line():
                width = f' stroke-width="{_number(part.width)}"'
                return f'<path d="{path(part.points, part.radius)}"{self._colours(None, part.stroke)}{width}/>'
            case Text():
                return self._text(part)
            case Group():
                return self._group(part)

    def _rectangle(self, r: Rectangle) -> str:
        width = f' stroke-width="{_number(r.stroke_width)}"' if r.stroke and r.stroke_width != 1 else ""
        colours = self._colours(r.fill, r.stroke) + width
        if r.radius and not all(r.corners):
            return f'<path d="{_some_round(r)}"{colours}/>'
        radius = f' rx="{_number(r.radius)}"' if r.radius else ""
        place = "".join(f' {k}="{_number(v)}"' for k, v in (("x", r.x), ("y", r.y)) if v)
        return f'<rect{place} width="{_number(r.width)}" height="{_number(r.height)}"{radius}{colours}/>'

    def _text(self, t: Text) -> str:
        anchor = f' text-anchor="{t.anchor}"' if t.anchor != "start" else ""
        weight = ' font-weight="bold"' if t.bold else ""
        place = f'x="{_number(t.x)}" y="{_number(t.y)}" font-size="{_number(t.size)}"'
        return f"<text {place}{weight}{anchor}{self._colours(t.fill, None)}>{text_of(t.text)}</text>"

    def _group(self, group: Group) -> str:
        attributes = "".join(f' {key}="{text_of(value)}"' for key, value in group.attributes.items())
        if group.x or group.y:
            attributes += f' transform="translate({_number(group.x)} {_number(group.y)})"'
        title = f"<title>{text_of(group.title)}</title>" if group.title else ""
        return f"<g{attributes}>{title}{''.join(map(self.part, group.parts))}</g>"

    def _colours(self, fill: str | None, stroke: str | None) -> str:
        found, classes = "", []
        for name, value in (("fill", fill), ("stroke", stroke)):
            if value:
                found += f' {name}="{self.palette[value]}"' if self.palette else ""
                classes.append(f"{name[0]}-{value}")
        if not fill and self.palette:
            found += ' fill="none"'
        return found + (f' class="{" ".join(classes)}"' if self.with_classes and classes else "")


def path(points: Sequence[Point], radius: float) -> str:
    """Return a line through points as path data, with round corners."""
    steps = [f"M{_pair(points[0])}"]
    for start, corner, end in round_corners(points, radius):
        steps.append(f"L{_pair(start)}Q{_pair(corner)} {_pair(end)}")
    return "".join([*steps, f"L{_pair(points[-1])}"])


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _some_round(r: Rectangle) -> str:
    """Return a rectangle of which some corners are round, as path data."""
    a, b, c, d = (r.radius if is_round else 0 for is_round in r.corners)
    steps = [
        f"M{_number(r.x + a)} {_number(r.y)}H{_number(r.x + r.width - b)}",
        _arc(b, b, b),
        f"V{_number(r.y + r.height - c)}",
        _arc(c, -c, c),
        f"H{_number(r.x + d)}",
        _arc(d, -d, -d),
        f"V{_number(r.y + a)}",
        _arc(a, a, -a),
    ]
    return "".join(steps) + "Z"


def _arc(radius: float, dx: float, dy: float) -> str:
    return f"a{_number(radius)} {_number(radius)} 0 0 1 {_number(dx)} {_number(dy)}" if radius else ""
