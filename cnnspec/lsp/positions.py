"""Places in a text as editors count them: lines and code units from 0, against characters and columns from 1."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, lru_cache
from typing import NamedTuple

from cnnspec.diagnostics import Source, Span

_LINE_BREAK = re.compile("\r\n|\n|\r")
"""The line breaks of the protocol; YAML and `Source.lines` have further ones."""

UTF16 = "utf-16"
"""The encoding whose units an editor counts characters in, unless it has agreed on another with the server."""


class Position(NamedTuple):
    """A place between two characters: the line, and the code units of the line before it."""

    line: int
    character: int


class Range(NamedTuple):
    """A part of a text."""

    start: Position
    end: Position


class Positions:
    """The positions of one text; characters are counted from 0 where they are called an offset."""

    def __init__(self, text: str, encoding: str = UTF16) -> None:
        self.text = text
        self.encoding = encoding

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self.text))]

    def of(self, offset: int) -> Position:
        """Return the position of an offset."""
        line = bisect_right(self._starts, offset) - 1
        return Position(line, units(self.text[self._starts[line] : offset], self.encoding))

    def offset(self, position: Position) -> int:
        """Return the offset of a position; one beyond the end of its line is at that end."""
        if position.line >= len(self._starts):
            return len(self.text)
        start = self._starts[position.line]
        end = self._starts[position.line + 1] if position.line + 1 < len(self._starts) else len(self.text)
        line = self.text[start:end].rstrip("\r\n")
        if line.isascii():
            return start + min(position.character, len(line))
        before = 0
        for i, ch in enumerate(line):
            if before >= position.character:
                return start + i
            before += units(ch, self.encoding)
        return start + len(line)

    def range(self, start: int, end: int) -> Range:
        """Return the part of the text from one offset to another."""
        return Range(self.of(start), self.of(end))


def units(text: str, encoding: str = UTF16) -> int:
    """Return the number of code units of a text in UTF-8, UTF-16 or UTF-32."""
    if text.isascii() or encoding == "utf-32":
        return len(text)
    if encoding == "utf-8":
        return len(text.encode())
    return len(text) + sum(ch > "\uffff" for ch in text)


@lru_cache(maxsize=8)
def positions_of(text: str, encoding: str = UTF16) -> Positions:
    """Return the positions of a text."""
    return Positions(text, encoding)


def range_of(span: Span, encoding: str = UTF16) -> Range:
    """Return the part of a text that a span is; the start of the text where the span is of none."""
    if not span.source.text:
        return Range(Position(0, 0), Position(0, 0))
    return positions_of(span.source.text, encoding).range(*span.range)


def point_of(source: Source, offset: int) -> tuple[int, int]:
    """Return the line and the column, from 1, that spans have at an offset."""
    line = bisect_right(source.line_starts, offset)
    return line, offset - source.line_starts[line - 1] + 1
