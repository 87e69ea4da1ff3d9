"""A picture as PNG, drawn with Pillow: larger than it is and scaled down, so that edges are smooth."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.diagram.corners import round_corners
from cnnspec.diagram.palette import PALETTES, Theme
from cnnspec.diagram.picture import Picture
from cnnspec.diagram.scene import Group, Line, Part, Point, Polygon, Rectangle, Text
from cnnspec.errors import BackendError, DiagramError

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

MOST_PIXELS = 1 << 26
"""Of a picture, as large as that is drawn."""
_FINER = 2
_CURVE = 6
"""The points that a round corner is drawn through."""
_CROSS = "×"
"""Pillow's own font has no multiplication sign, which every shape has: it is drawn as two lines."""


def png(picture: Picture, scale: float = 2.0, theme: Theme = "light") -> bytes:
    """Return a picture as a PNG file, `scale` pixels for each of the picture's.

    Raise BackendError where Pillow is not installed, and DiagramError for a picture that would be too large.
    """
    if importlib.util.find_spec("PIL") is None:
        raise BackendError('Pillow is not installed: pip install "cnnspec[images]"')
    from PIL import Image, ImageDraw

    width, height = round(picture.width * scale), round(picture.height * scale)
    if width * height > MOST_PIXELS:
        remedy = "fold more blocks (a smaller depth), take one block alone, or write SVG"
        raise DiagramError(f"the picture would have {width:,}×{height:,} pixels: {remedy}")
    finer = _FINER if width * height * _FINER**2 <= MOST_PIXELS else 1
    palette = PALETTES[theme]
    image = Image.new("RGB", (width * finer, height * finer), palette["paper"])
    canvas = _Canvas(ImageDraw.Draw(image), dict(palette), scale * finer)
    for part in picture.parts:
        canvas.draw(part, 0, 0)
    if finer > 1:
        image = image.resize((width, height), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=False)
    return file.getvalue()


class _Canvas:
    """Draws parts on an image of so many pixels for each of the picture's."""

    def __init__(self, draw: ImageDraw.ImageDraw, palette: dict[str, str], scale: float) -> None:
        self.pen, self.palette, self.scale = draw, palette, scale

    def draw(self, part: Part, dx: float, dy: float) -> None:
        """Draw a part that is moved by (dx, dy)."""
        match part:
            case Group():
                for inner in part.parts:
                    self.draw(inner, dx + part.x, dy + part.y)
            case Rectangle():
                self._rectangle(part, dx, dy)
            case Polygon() if not part.is_hidden:
                outline = self.palette[part.stroke] if part.stroke else None
                points = self._points(part.points, dx, dy)
                self.pen.polygon(points, self.palette[part.fill], outline, width=self._width(1))
            case Line():
                points = self._points(_smooth(part), dx, dy)
                self.pen.line(points, self.palette[part.stroke], self._width(part.width), joint="curve")
            case Text():
                self._text(part, dx, dy)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.scale))

    def _points(self, points: Sequence[Point], dx: float, dy: float) -> list[Point]:
        return [((x + dx) * self.scale, (y + dy) * self.scale) for x, y in points]

    def _rectangle(self, r: Rectangle, dx: float, dy: float) -> None:
        half = self._width(r.stroke_width) // 2 if r.stroke else 0
        (left, top), (right, bottom) = self._points([(r.x, r.y), (r.x + r.width, r.y + r.height)], dx, dy)
        radius = min(r.radius * self.scale, (right - left) / 2, (bottom - top) / 2)
        self.pen.rounded_rectangle(
            (round(left) - half, round(top) - half, round(right) - 1 + half, round(bottom) - 1 + half),
            radius,
            self.palette[r.fill] if r.fill else None,
            self.palette[r.stroke] if r.stroke else None,
            self._width(r.stroke_width) if r.stroke else 0,
            corners=r.corners,
        )

    def _text(self, t: Text, dx: float, dy: float) -> None:
        size = t.size * self.scale
        runs = _runs(t.text, size)
        width = sum(_length(run, font, size) for run, font in runs)
        x, y = (t.x + dx) * self.scale, (t.y + dy) * self.scale
        x -= {"start": 0.0, "middle": width / 2, "end": width}[t.anchor]
        stroke = max(1, round(size / 45)) if t.bold else 0
        fill = self.palette[t.fill]
        for run, font in runs:
            if run == _CROSS:
                self._cross(x, y, size, fill, bold=t.bold)
            else:
                self.pen.text((x, y), run, fill, font, anchor="ls", stroke_width=stroke, stroke_fill=fill)
            x += _length(run, font, size)

    def _cross(self, x: float, y: float, size: float, fill: str, *, bold: bool) -> None:
        arm, middle = 0.17 * size, (x + 0.29 * size, y - 0.3 * size)
        for slope in (1, -1):
            ends = [(middle[0] - arm, middle[1] - arm * slope), (middle[0] + arm, middle[1] + arm * slope)]
            self.pen.line(ends, fill, max(1, round(size * (0.11 if bold else 0.07))))


def _smooth(line: Line) -> list[Point]:
    """Return the points of a line whose corners are round."""
    points = [line.points[0]]
    for a, b, c in round_corners(line.points, line.radius):
        for i in range(_CURVE + 1):
            t = i / _CURVE
            u = 1 - t
            points.append(tuple(u * u * p + 2 * u * t * q + t * t * r for p, q, r in zip(a, b, c, strict=True)))  # type: ignore[arg-type]
    return [*points, line.points[-1]]


def _runs(text: str, size: float) -> list[tuple[str, Any]]:
    """Return the parts of a text that one font draws; a multiplication sign is a part of its own."""
    found: list[tuple[str, Any]] = []
    for ch in text:
        font = _font(size) if ch == _CROSS or _has(ch) else _fallback(size)
        if found and ch != _CROSS and found[-1][0] != _CROSS and found[-1][1] is font:
            found[-1] = (found[-1][0] + ch, font)
        else:
            found.append((ch, font))
    return found


def _length(run: str, font: Any, size: float) -> float:
    return 0.58 * size if run == _CROSS else float(font.getlength(run))


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, which needs none of the system."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def _has(ch: str) -> bool:
    """Whether Pillow's own font has a character, and does not draw its sign for unknown ones."""
    font = _font(20)
    return bytes(font.getmask(ch)) != bytes(font.getmask("\uffff"))


@cache
def _fallback(size: float) -> Any:
    """Return a font with more characters, as far as there is one: Matplotlib's or the system's DejaVu Sans."""
    from PIL import ImageFont

    for path in (*_of_matplotlib(), "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(str(path), size)
        except OSError:
            continue
    return _font(size)


def _of_matplotlib() -> list[Path]:
    spec = importlib.util.find_spec("matplotlib")
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" for folder in folders or ()]
