"""How messages word values, names, shapes and lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

TAB = 4
"""Columns that a tab takes in an excerpt."""


def cells(text: str) -> int:
    """How wide a text is in a terminal."""
    return len(text) if text.isascii() and text.isprintable() else sum(map(_width, text))


def _width(ch: str) -> int:
    if ch == "\t":
        return TAB
    if unicodedata.category(ch) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(ch) in "WF" else 1


def quoted(text: str, most: int = 40) -> str:
    """Return a word of the spec as messages show it: at most so many characters, on one line, without control codes."""
    short = text if len(text) <= most else text[: most - 1] + "…"
    return f"`{''.join(ch if ch.isprintable() else ch.encode('unicode_escape').decode() for ch in short)}`"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like a mistyped one, if any is."""
    from difflib import get_close_matches  # 5 ms that a clean spec need not pay

    known = list(known)
    by_fold = {k.replace("-", "_").casefold(): k for k in reversed(known)}
    folded = word.replace("-", "_").casefold()
    swapped = next((k for k in by_fold if sorted(k) == sorted(folded)), None)
    close = [folded] if folded in by_fold else [swapped] if swapped else get_close_matches(folded, by_fold, 1, 0.7)
    return by_fold[close[0]] if close else None


def format_shape(shape: Sequence[int]) -> str:
    """A shape as people read it: 16×5×5."""
    return "×".join(map(str, shape))


def product(factors: Sequence[int]) -> str:
    """A product as formulas write it: 6·24·24."""
    return "·".join(map(str, factors))


def describe(value: Any) -> str:
    """A value as messages name it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {quoted(value)}"
        case int() if abs(value) >= 10**1000:  # Python refuses to print some of these
            return "a number of more than 1,000 digits"
        case int() if abs(value) >= 10**20:
            return f"a number of {len(str(abs(value)))} digits"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "a mapping"
    return f"a value of the type {type(value).__name__}"


def yaml11_hint(value: Any) -> str:
    """Help for a truth value in the words of YAML 1.1."""
    words = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    meant = words.get(value.lower()) if isinstance(value, str) else None
    return f"`{meant}`: in YAML 1.2 `{value}` is text" if meant else ""


def one_of(words: Sequence[str]) -> str:
    """Alternatives in a row: a, b or c."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def names(words: Sequence[str]) -> str:
    """Words of the spec in a row: `a`, `b` and `c`."""
    *most, last = [f"`{word}`" for word in words]
    return f"{', '.join(most)} and {last}" if most else last
