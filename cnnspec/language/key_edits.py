"""The edit that takes a key out of a mapping."""

from __future__ import annotations

from cnnspec.diagnostics import Edit, Span
from cnnspec.language.yaml_tree import YamlNode


def without_key(mapping: YamlNode, key: str) -> Edit | None:
    """Return the edit that takes a key and its value out of a mapping; None where that cannot be done in place."""
    span, value = mapping.keys[key], mapping.at((key,))
    if span in (mapping.span, value):
        return None
    whole = span._replace(end_line=value.end_line, end_column=value.end_column)
    source = span.source
    if mapping.span.text.startswith("{"):
        others = [place for name, place in mapping.keys.items() if name != key]
        later = [place for place in others if (place.line, place.column) > (span.line, span.column)]
        if later:  # up to the next key
            following = min(later, key=lambda place: (place.line, place.column))
            return Edit(span._replace(end_line=following.line, end_column=following.column), "")
        if not others:
            return Edit(mapping.span, "{}")
        earlier = [mapping.at((name,)) for name in mapping.keys if name != key]
        before = max(earlier, key=lambda place: (place.end_line, place.end_column))
        return Edit(Span(source, before.end_line, before.end_column, whole.end_line, whole.end_column), "")
    if len(mapping.keys) == 1 or source.lines[span.line - 1][: span.column - 1].strip():
        return None
    if whole.end_line < len(source.lines):
        return Edit(Span(source, span.line, 1, whole.end_line + 1, 1), "")
    before_it = source.lines[span.line - 2]
    return Edit(Span(source, span.line - 1, len(before_it) + 1, whole.end_line, whole.end_column), "")
