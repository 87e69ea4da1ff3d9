"""Pictures and feature maps in a terminal: in colours, in shades, or in ASCII, by what the terminal can show."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from cnnspec.arrays import Array
from cnnspec.encoding import has
from cnnspec.graph.settings import Input
from cnnspec.view import pixels
from cnnspec.view.fitting import clipped
from cnnspec.view.pixels import Picture
from cnnspec.view.spark import grouped, sparkline
from cnnspec.wording import cells, format_shape

MAPS = 8
"""Feature maps of a layer that are shown by default."""
_WIDEST_PICTURE, _SMALLEST_PICTURE = 56, 16
_WIDEST_MAP, _SMALLEST_MAP = 24, 12
_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:-=+*#%@"
_GAP = 2


@dataclass(frozen=True)
class Pixels:
    """A picture of two pixels a cell: ▀ with both colours, or without colours the shade of both together."""

    picture: Picture
    is_map: bool = False
    """Whether the colours stand for values: where a terminal has 256 colours, its greys have more steps than these."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colours = console.color_system not in (None, "standard") and not console.no_color
        if colours and has("▀", options.encoding):
            yield from self._half_blocks(grey=self.is_map and console.color_system == "256")
            return
        shades = _SHADES if has(_SHADES, options.encoding) else _ASCII_SHADES
        levels = self.picture.levels
        pairs = np.add.reduceat(levels, np.arange(0, len(levels), 2), axis=0)
        pairs[: len(levels) // 2] /= 2
        for row in np.minimum((pairs * len(shades)).astype(int), len(shades) - 1):
            yield Segment("".join(shades[i] for i in row))
            yield Segment.line()

    def _half_blocks(self, grey: bool) -> RenderResult:
        rgb = pixels.photograph(self.picture.levels[..., None]).rgb if grey else self.picture.rgb
        for y in range(0, len(rgb), 2):
            for x in range(rgb.shape[1]):
                lower = Color.from_rgb(*rgb[y + 1, x]) if y + 1 < len(rgb) else None
                yield Segment("▀", Style(color=Color.from_rgb(*rgb[y, x]), bgcolor=lower))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self.picture.rgb.shape[1]
        return Measurement(width, width)


def input_picture(name: str, values: Array, settings: Input, width: int, maps: int = MAPS) -> RenderableType:
    """Return an input [c, ...] as the image that it was made of, or else as a layer is shown."""
    image = pixels.restored(values, settings)
    if image is None:
        return layer_picture(name, values, width, maps)
    shown = pixels.fitted(image, _SMALLEST_PICTURE, min(width, _WIDEST_PICTURE))
    caption = _caption(name, values.shape, ["the image", *_reduced(image, shown)], width)
    return Group(caption, Pixels(pixels.photograph(shown)), "")


def layer_picture(name: str, values: Array, width: int, maps: int = MAPS) -> RenderableType:
    """Return the value of a layer for one sample: maps [c, h, w] or [c, d, h, w], signals [c, l], a vector [f].

    The first `maps` channels are shown, all in one scale from the smallest to the largest value that is shown.
    """
    if values.ndim == 1 or math.prod(values.shape[1:]) == 1:
        return _vector(name, values, width)
    return _signals(name, values, width, maps) if values.ndim == 2 else _maps(name, values, width, maps)


def _vector(name: str, values: Array, width: int) -> RenderableType:
    flat = values.ravel()
    notes = [_range(np.array(grouped(flat.tolist(), width)))]
    if len(flat) > width:
        notes.append(f"means of {math.ceil(len(flat) / width)} or fewer")
    line = Text(sparkline(flat.tolist(), width), no_wrap=True)
    return Group(_caption(name, values.shape, notes, width), line, "")


def _signals(name: str, values: Array, width: int, maps: int) -> RenderableType:
    label = len(str(min(maps, len(values)) - 1)) + 1
    shown = np.array([grouped(row.tolist(), width - label) for row in values[:maps]])
    low, high = pixels.extent(shown)
    notes = [_range(shown), *_limited(values, maps, "signals")]
    if values.shape[1] > width - label:
        notes.append(f"means of {math.ceil(values.shape[1] / (width - label))} or fewer")
    lines = [
        Text(f"{i:<{label}}" + sparkline(row.tolist(), width, low=low, high=high), no_wrap=True)
        for i, row in enumerate(shown)
    ]
    return Group(_caption(name, values.shape, notes, width), *lines, "")


def _maps(name: str, values: Array, width: int, maps: int) -> RenderableType:
    planes = [pixels.plane(one) for one in values[:maps]]
    room = _room(width, max(planes[0].shape[:2]))
    shown = [pixels.fitted(one, min(_SMALLEST_MAP, room), room) for one in planes]
    low, high = pixels.extent(np.stack(shown))
    notes = [_range(np.stack(shown)), *_limited(values, maps, "maps")]
    if values.ndim == 4:
        notes.append(f"slice {values.shape[1] // 2 + 1} of {values.shape[1]}")
    notes += _reduced(planes[0], shown[0])
    most = max(1, (width + _GAP) // (shown[0].shape[1] + _GAP))
    a_row = math.ceil(len(shown) / math.ceil(len(shown) / most))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for start in range(0, len(shown), a_row):
        some = shown[start : start + a_row]
        grid.add_row(*(Text(str(start + i), style="dim") for i in range(len(some))))
        grid.add_row(*(Pixels(pixels.coloured(one, low, high), is_map=True) for one in some))
        if start + a_row < len(shown):
            grid.add_row("")
    return Group(_caption(name, values.shape, notes, width), grid, "")


def _room(width: int, side: int) -> int:
    """Return the longest side of a map in pixels: four maps in a row, or eight where these have room as they are."""
    eight, four = ((width - (n - 1) * _GAP) // n for n in (8, 4))
    wanted = min(max(side, _SMALLEST_MAP), _WIDEST_MAP)
    return max(1, min(_WIDEST_MAP, eight if eight >= wanted else four))


def _caption(name: str, shape: Sequence[int], notes: Sequence[str], width: int) -> Text:
    about = ", ".join([format_shape(shape), *notes])
    if cells(name) + 2 + cells(about) <= width:
        return Text.assemble((name, "bold"), f"  {about}")
    lines = textwrap.wrap(about, width, initial_indent="  ", subsequent_indent="  ")
    return Text.assemble((clipped(name, width, start=True), "bold"), *(f"\n{line}" for line in lines))


def _range(values: Array) -> str:
    low, high = pixels.extent(values)
    return f"from {low:.3g} to {high:.3g}".replace("-", "−")


def _limited(values: Array, maps: int, what: str) -> list[str]:
    return [f"{maps} of {len(values):,} {what}"] if len(values) > maps else []


def _reduced(values: Array, shown: Array) -> list[str]:
    """Return how many numbers a pixel is the mean of, where these are several."""
    size = math.ceil(len(values) / len(shown))
    return [f"means of {size}×{size}"] if size > 1 else []
