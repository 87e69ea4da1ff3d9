"""Inlay hints: the output shape behind each line with a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.diagnostics import Span
from cnnspec.layers import Shape
from cnnspec.lsp.analysis import Analysis
from cnnspec.wording import format_shape

MOST_SHAPES = 3
"""The most shapes behind a line that is expanded several times."""


class Hint(NamedTuple):
    """A text behind a line (counted from 1)."""

    line: int
    text: str
    tooltip: str


def hints(analysis: Analysis, first: int = 1, last: int | None = None) -> list[Hint]:
    """Return the hints of the lines from `first` to `last`: what comes out behind a line, at each of its uses."""
    if analysis.expansion is None:
        return []
    by_line: dict[int, dict[Span, list[Shape]]] = {}
    for span, output in analysis.expansion.trace:
        if span.source is analysis.source and output.shape is not None and first <= span.line <= (last or span.line):
            by_line.setdefault(span.line, {}).setdefault(span, []).append(output.shape)
    return [_hint(line, _last(places)) for line, places in sorted(by_line.items())]


def _last(places: dict[Span, list[Shape]]) -> list[Shape]:
    """Return the outputs of the last of the outermost items of a line."""
    last: Span | None = None
    for item in sorted(places, key=lambda item: (item.column, -item.end_line, -item.end_column)):
        if last is None or (last.end_line, last.end_column) <= (item.line, item.column):
            last = item
    assert last is not None
    return places[last]


def _hint(line: int, shapes: Sequence[Shape]) -> Hint:
    distinct = list(dict.fromkeys(map(format_shape, shapes)))
    uses = f"output shapes of {len(shapes)} uses: {', '.join(distinct)}" if len(shapes) > 1 else "output shape"
    return Hint(line, f"→ {shortened(distinct)}", uses)


def shortened(shapes: Sequence[str]) -> str:
    """Return the shapes of the uses of one place, the first few of many."""
    return ", ".join(shapes[:MOST_SHAPES]) + ", …" * (len(shapes) > MOST_SHAPES)
