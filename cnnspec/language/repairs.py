"""Fixes of words that mean others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.wording import quoted

_SPACED = re.compile(r"([A-Za-z_]\w*) +(\S.*)")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*) ?= ?(\S+)")
_QUOTES = "“”„‟‘’‚«»"
"""Typographic quotes, which are part of a word in YAML."""
_GLUED = re.compile(r"([A-Za-z_]\w*):(\S+)")


def replaced(
    span: Span, word: str, *, certain: bool = False, said: bool = False, if_alone: bool = False, title: str = ""
) -> Fix:
    """Return the fix that puts a word in place of a range; `said` where the help of the diagnostic says it already."""
    title = title or f"replace {quoted(span.text)} with {quoted(word)}"
    return Fix(title, (Edit(span, word),), certain, said=said, if_alone=if_alone)


def for_word(word: Any, span: Span, known: Iterable[str]) -> list[Fix]:
    """Return the fix that puts the known word that is meant in place of another, if that can be told."""
    from cnnspec.language.suggestions import suggest

    known = list(known)
    if not isinstance(word, str) or not is_written(word, span):
        return []
    if (plain := word.replace("\N{NO-BREAK SPACE}", " ").strip(_QUOTES)) != word:
        return [Fix(f"write {quoted(plain)}", (Edit(span, plain),), certain=True)]
    if (found := _ASSIGNED.fullmatch(word)) and suggest(found[1], known, certain=True):
        return [replaced(span, f"{found[1]}: {found[2]}", certain=True)]
    if found := _GLUED.fullmatch(word):
        return [replaced(span, f"{found[1]}: {found[2]}", certain=True, said=True)]
    if (found := _SPACED.fullmatch(word)) and found[1] in known:
        line = span.source.lines[span.line - 1][: span.column - 1]
        pair = f"{found[1]}: {found[2]}"
        return [replaced(span, f"{{{pair}}}" if line.rstrip().endswith(":") else pair, certain=True)]
    meant = suggest(word, known)
    certain = meant is not None and suggest(word, known, certain=True) == meant
    return [replaced(span, meant, certain=certain, said=True)] if meant else []


def for_name(name: str, span: Span, known: Iterable[str]) -> tuple[str | None, list[Fix]]:
    """Return the name that is probably meant by one that is not there, and the fix that puts it in its place."""
    from cnnspec.wording import nearest, slip

    known = list(known)
    near = nearest(name, known)
    if near is None or name not in span.text:
        return near, []
    written = span.text.replace(name, near)
    return near, [replaced(span, written, certain=slip(name, known) == near, said=True)]


def is_written(word: str, span: Span) -> bool:
    """Return whether a range holds a word itself, and no reference to it."""
    return span.text in (word, f'"{word}"', f"'{word}'")
