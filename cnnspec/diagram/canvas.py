"""Lines and texts on a terminal: cells that lines pass through in four directions, and characters on top."""

from __future__ import annotations

from cnnspec.wording import cells

NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
_DRAWN = " ╵╶└╷│┌├╴┘─┴┐┤┬┼"
_DRAWN_ASCII = " |-+||++-+-+++++"
DOWN, DOWN_ASCII = "▼", "v"


class Canvas:
    """A grid of cells, each as wide as a character."""

    def __init__(self, width: int, height: int, *, ascii_only: bool) -> None:
        self.width, self.ascii_only = width, ascii_only
        self.lines = [[0] * width for _ in range(height)]
        self.texts: list[list[str | None]] = [[None] * width for _ in range(height)]

    def join(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Draw a line from the middle of a cell to that of another in its row or column."""
        if y == to_y:
            for at in range(min(x, to_x), max(x, to_x)):
                self._add(at, y, EAST)
                self._add(at + 1, y, WEST)
        else:
            for at in range(min(y, to_y), max(y, to_y)):
                self._add(x, at, SOUTH)
                self._add(x, at + 1, NORTH)

    def _add(self, x: int, y: int, direction: int) -> None:
        if 0 <= y < len(self.lines) and 0 <= x < self.width:
            self.lines[y][x] |= direction

    def box(self, x: int, y: int, width: int, height: int) -> None:
        """Draw the border of a box."""
        right, bottom = x + width - 1, y + height - 1
        self.join(x, y, right, y)
        self.join(x, bottom, right, bottom)
        self.join(x, y, x, bottom)
        self.join(right, y, right, bottom)

    def write(self, x: int, y: int, text: str) -> None:
        """Write a text over what is there; wide characters take two cells."""
        for ch in text:
            if 0 <= y < len(self.texts) and x + cells(ch) <= self.width:
                self.texts[y][x : x + max(1, cells(ch))] = [ch, *[""] * (cells(ch) - 1)]
            x += cells(ch)

    def head(self, x: int, y: int) -> None:
        """Draw the head of an arrow that points down."""
        self.write(x, y, DOWN_ASCII if self.ascii_only else DOWN)

    def rows(self) -> list[str]:
        """Return the lines of text."""
        drawn = _DRAWN_ASCII if self.ascii_only else _DRAWN
        return [
            "".join(drawn[bits] if text is None else text for bits, text in zip(lines, texts, strict=True)).rstrip()
            for lines, texts in zip(self.lines, self.texts, strict=True)
        ]


def cut(text: str, width: int, *, ascii_only: bool) -> str:
    """Return a text of at most so many cells, with an ellipsis where it is cut."""
    if cells(text) <= width:
        return text
    end = "~" if ascii_only else "…"
    kept = text[: max(0, width)]
    while kept and cells(kept) + 1 > width:
        kept = kept[:-1]
    return (kept + end)[: max(0, width)]


def either(text: str, *, ascii_only: bool) -> str:
    """Return a text in ASCII where that is wanted: x for the sign of multiplication, ? for what has no counterpart."""
    if not ascii_only:
        return text
    plain = text.replace("×", "x").replace("·", "-").replace("▸", ">").replace("▾", "v").replace("…", "~")
    return plain.encode("ascii", "replace").decode()
