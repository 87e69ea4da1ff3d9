"""The form of values, names, shapes and lists in messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

TAB = 4
"""Columns that a tab takes in an excerpt."""


def cells(text: str) -> int:
    """Return the width of a text in a terminal, in cells."""
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
    """Return the known word most similar to a mistyped one; None where none is similar."""
    from difflib import get_close_matches  # 5 ms that a clean spec need not pay

    known = list(known)
    by_fold = {k.replace("-", "_").casefold(): k for k in reversed(known)}
    if (meant := slip(word, known)) is not None:
        return meant
    folded = word.replace("-", "_").casefold()
    swapped = next((k for k in by_fold if sorted(k) == sorted(folded)), None)
    close = [folded] if folded in by_fold else [swapped] if swapped else get_close_matches(folded, by_fold, 1, 0.7)
    return by_fold[close[0]] if close else None


def slip(word: str, known: Iterable[str]) -> str | None:
    """Return the one known word that is a slip of the keyboard away; None where there are several, or none.

    A slip is a letter too many, too few or another, or two that are swapped, in a word of at least four, a plural, or
    capitals; a digit is never one.
    """
    written = word.replace("-", "_").casefold()
    long = [name for name in known if max(len(name), len(written)) >= 4]
    found = {name for name in long if _is_slip(written, name.replace("-", "_").casefold())}
    return found.pop() if len(found) == 1 else None


def _is_slip(a: str, b: str) -> bool:
    """Return whether a word differs from one that is known by a slip."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return a in (b, f"{b}es")
    first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[first:], b[first:]
    if len(a) == len(b):
        is_swapped = rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
        differing = rest_a[:2] if is_swapped else rest_a[:1] + rest_b[:1]
        fits = is_swapped or rest_a[1:] == rest_b[1:]
    else:
        longer, shorter = (rest_a, rest_b) if len(a) > len(b) else (rest_b, rest_a)
        differing, fits = longer[:1], longer[1:] == shorter
    return fits and not any(ch.isdigit() for ch in differing)


def format_shape(shape: Sequence[int]) -> str:
    """Return a shape as text: 16×5×5."""
    return "×".join(map(str, shape))


def noun(shape: Sequence[int]) -> str:
    """Return what a tensor of this shape is called: vector, sequence, image or volume."""
    return ("vector", "sequence", "image", "volume")[len(shape) - 1]


def a_noun(shape: Sequence[int]) -> str:
    """Return what a tensor of this shape is called, with the article: an image."""
    word = noun(shape)
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def product(factors: Sequence[int]) -> str:
    """Return a product as formulas write it: 6·24·24."""
    return "·".join(map(str, factors))


def describe(value: Any) -> str:
    """Return a value as messages describe it."""
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
    """Return help for a truth value of YAML 1.1, "" for any other value."""
    words = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    meant = words.get(value.lower()) if isinstance(value, str) else None
    return f"`{meant}`: in YAML 1.2 `{value}` is text" if meant else ""


def a_count(n: float, what: str) -> str:
    """Return a number of things: 1 epoch, 2 epochs."""
    return f"{n:g} {what}{'s' * (n != 1)}"


def one_of(words: Sequence[str]) -> str:
    """Return alternatives: a, b or c."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def names(words: Sequence[str]) -> str:
    """Return words of the spec: `a`, `b` and `c`."""
    *most, last = [f"`{word}`" for word in words]
    return f"{', '.join(most)} and {last}" if most else last
