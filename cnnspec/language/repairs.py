"""Fixes of mistakes in the text: words that mean others, layers without their punctuation."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted

_SPACED = re.compile(r"([A-Za-z_]\w*) +(\S.*)")
_GLUED = re.compile(r"([A-Za-z_]\w*):(\S+)")
_KIND_KEYS = ("type", "kind", "layer", "class", "op")


def replaced(span: Span, word: str, *, certain: bool = False, said: bool = False) -> Fix:
    """Return the fix that puts a word in place of a range; `said` where the help of the diagnostic says it already."""
    return Fix(f"replace {quoted(span.text)} with {quoted(word)}", (Edit(span, word),), certain, said=said)


def for_word(word: Any, span: Span, known: Iterable[str]) -> list[Fix]:
    """Return the fix that puts the known word that is meant in place of another, if that can be told."""
    from cnnspec.language.suggestions import suggest

    known = list(known)
    if not isinstance(word, str) or not is_written(word, span):
        return []
    if found := _GLUED.fullmatch(word):
        return [replaced(span, f"{found[1]}: {found[2]}", certain=True, said=True)]
    if (found := _SPACED.fullmatch(word)) and found[1] in known:
        return [replaced(span, f"{found[1]}: {found[2]}", certain=True)]
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


def for_keys(node: YamlNode, kinds: Collection[str]) -> list[Fix]:
    """Return fixes of an entry with several keys: `type: conv` beside fields, fields at the level of their kind."""
    pairs = dict(node.items())
    if "repeat" in pairs and "layers" in pairs:
        return [fix] if (fix := _repeat(node)) is not None else []
    named = next((key for key in _KIND_KEYS if key in pairs and pairs[key].value in kinds), None)
    kind = str(pairs[named].value) if named else next((key for key in pairs if key in kinds), None)
    if kind is None:
        return []
    fields = {key: item for key, item in pairs.items() if key not in (named, kind)}
    own = pairs.get(kind)
    if own is not None and own.is_mapping:
        fields = {**dict(own.items()), **fields}
    elif own is not None and own.value is not None:
        return []
    if not fields or any("\n" in item.span.text for item in fields.values()):
        return []
    written = f"{kind}: {{{', '.join(f'{key}: {item.span.text}' for key, item in fields.items())}}}"
    return [Fix(f"write {quoted(written, 100)}", (Edit(node.span, written),), certain=named is not None)]


def _repeat(node: YamlNode) -> Fix | None:
    """Return the fix that puts the layers beside `repeat: 3` into it."""
    times, layers = node.get("repeat"), node.keys["layers"]
    first = node.keys["repeat"]
    if times is None or times.is_mapping or node.span.text.startswith("{") or layers.line == first.line:
        return None
    indent = " " * (first.column + 1)
    edits = [Edit(times.span, f"\n{indent}times: {times.span.text}")]
    for line in range(layers.line, node.span.end_line + 1):
        edits.append(Edit(Span(node.span.source, line, 1, line, 1), "  "))
    return Fix(f"put `times: {times.span.text}` and `layers` into the `repeat`", tuple(edits), certain=True)


def as_list(item: YamlNode) -> list[Fix]:
    """Return the fix that makes a list of one layer where a branch is that layer alone."""
    text = item.span.text
    if not (isinstance(item.value, str) or item.is_mapping) or "\n" in text:
        return []
    inner = text[1:-1] if item.is_mapping and text.startswith("{") else text
    return [
        Fix(f"write it as the list {quoted(f'[{inner.strip()}]', 100)}", (Edit(item.span, f"[{inner.strip()}]"),), True)
    ]
