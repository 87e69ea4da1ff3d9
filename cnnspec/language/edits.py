"""Changes of a spec's text as edits: keys, values and fields, with the layout around them kept to the byte."""

from __future__ import annotations

from collections.abc import Iterable

from cnnspec.diagnostics import Edit, Source, Span
from cnnspec.language.entry import Entry
from cnnspec.language.key_edits import without_key
from cnnspec.language.yaml_tree import YamlNode

__all__ = ["apply", "with_field", "without_key"]


def apply(source: Source, edits: Iterable[Edit]) -> Source:
    """Return a text with the edits that concern it made; of edits that overlap, only the first is."""
    ending = "\r\n" if "\r\n" in source.text else "\n"
    here = sorted((*edit.span.range, edit.text.replace("\n", ending)) for edit in edits if edit.span.source == source)
    parts, done = [], 0
    for start, end, replacement in here:
        if start >= done:
            parts += [source.text[done:start], replacement]
            done = end
    return Source(source.name, "".join(parts) + source.text[done:])


def with_field(entry: Entry, main: str | None, field: str, value: str) -> Edit | None:
    """Return the edit that sets a field of an entry to a value; None where a reference holds its fields.

    `main` is the field that stands for a configuration that is no mapping.
    """
    config = entry.config
    if config is None or config.value is None:
        return Edit(entry.span, f"{entry.span.text}: {{{field}: {value}}}") if config is None else None
    if not config.is_mapping:
        if main is None or config.span == entry.span:
            return None
        if main == field:
            return Edit(config.span, value)
        return Edit(config.span, f"{{{main}: {config.span.text}, {field}: {value}}}")
    if field in config.keys:
        return _over(config, field, value)
    return with_key(config, field, value)


def _over(mapping: YamlNode, key: str, value: str) -> Edit | None:
    """Return the edit that replaces the value of a key; None where the text does not hold it itself."""
    span = mapping.at((key,))
    return None if span == mapping.keys[key] or span == mapping.span else Edit(span, value)


def with_key(mapping: YamlNode, key: str, value: str) -> Edit | None:
    """Return the edit that adds a key and its value to a mapping; None where a reference stands for the mapping."""
    span, pair = mapping.span, f"{key}: {value}"
    if any(place == span for place in mapping.keys.values()):
        return None
    if span.text.startswith("{"):
        inner = span.text[1:-1]
        if not inner.strip():
            return Edit(span, f"{{{pair}}}")
        ends = [mapping.at((key,)) for key in mapping.keys]
        last = max(ends, key=lambda end: (end.end_line, end.end_column))
        return Edit(_end(last), f", {pair}")
    if not mapping.keys:
        return None
    indent = " " * (min(place.column for place in mapping.keys.values()) - 1)
    line = span.source.lines[span.end_line - 1]
    behind = Span(span.source, span.end_line, len(line) + 1, span.end_line, len(line) + 1)  # a comment, too
    return Edit(behind, f"\n{indent}{pair}")


def _end(span: Span) -> Span:
    """Return the empty range behind a span."""
    return span._replace(line=span.end_line, column=span.end_column)
