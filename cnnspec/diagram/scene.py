"""What a picture is made of: rectangles, lines, texts and groups of them, with colours by name of the palette."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnnspec.wording import cells

Point = tuple[float, float]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle; `corners` says which of its corners are round: top left, top right, bottom right, bottom left."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 1
    radius: float = 0
    corners: tuple[bool, bool, bool, bool] = (True, True, True, True)


@dataclass(frozen=True)
class Polygon:
    """An area between points."""

    points: tuple[Point, ...]
    fill: str
    stroke: str | None = None
    is_hidden: bool = False


@dataclass(frozen=True)
class Line:
    """A line through points, with round corners."""

    points: tuple[Point, ...]
    stroke: str
    width: float = 1
    radius: float = 0


@dataclass(frozen=True)
class Text:
    """A line of text, whose baseline begins, ends, or has its middle at a point."""

    x: float
    y: float
    text: str
    size: float
    fill: str = "ink"
    bold: bool = False
    anchor: str = "start"
    """start, middle or end."""


@dataclass(frozen=True)
class Group:
    """Parts that are moved together; the attributes are those of the element in SVG."""

    parts: Sequence[Part]
    x: float = 0
    y: float = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    """What it is, for a tooltip."""


Part = Rectangle | Polygon | Line | Text | Group

_NARROW = {"ijl'": 222, "|": 260, " !,./:;I[]\\ft·": 278, "()-`r{}": 333, '"*': 372, "^": 469, "ckJsvxyz": 500}
_WIDE = {"+<=>~×−": 584, "FTZ": 611, "&ABEKPSVXY": 667, "wCDHNRU": 722, "GOQ": 778, "mM": 833, "%": 889, "W": 944}
_WIDTHS = {ch: width / 1000 for widths in (_NARROW, _WIDE, {"@…": 1015}) for chs, width in widths.items() for ch in chs}
"""The widths of characters in Helvetica and Arial, of 1; most others have 0.556."""

_NARROWEST = min(_WIDTHS.values())


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a text, as far as it is known without its font."""
    width = sum(_WIDTHS.get(ch, 0.556 if ch.isascii() else 0.62 * cells(ch)) for ch in text)
    return size * width * (1.07 if bold else 1.0)


def shortened(text: str, most: float, size: float, *, bold: bool = False, keeps_end: bool = False) -> str:
    """Return a text of at most this width, with an ellipsis where it is cut: at its end, or at its beginning."""
    if text_width(text, size, bold=bold) <= most:
        return text
    count = int(most / (_NARROWEST * size)) + 1
    kept = text[-count:] if keeps_end else text[:count]
    while kept and text_width(kept + "…", size, bold=bold) > most:
        kept = kept[1:] if keeps_end else kept[:-1]
    return "…" + kept if keeps_end else kept + "…"
