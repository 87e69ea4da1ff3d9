"""Where in the text's lists the entries are, so that items can be added and taken out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cnnspec.diagnostics import Edit, Span
from cnnspec.language.yaml_tree import YamlNode


class Place(NamedTuple):
    """An item of a list: the list, and which of its items it is."""

    items: YamlNode
    position: int

    @property
    def node(self) -> YamlNode:
        """The item."""
        return self.items.elements()[self.position]


class Places:
    """The items of all lists of layers of a text, by the places of their kinds."""

    def __init__(self, roots: Iterable[YamlNode]) -> None:
        self._found: dict[Span, Place] = {}
        self._around: dict[Span, Place] = {}
        for root in roots:
            self._walk(root, None)

    def _walk(self, node: YamlNode, around: Place | None) -> None:
        if node.is_list and around is not None:
            self._around.setdefault(node.span, around)
        for i, item in enumerate(node.elements()):
            place = Place(node, i)
            if isinstance(item.value, str):
                self._found.setdefault(item.span, place)
            for span in item.keys.values():
                self._found.setdefault(span, place)
            self._walk(item, place)
        for _, inner in node.items():
            self._walk(inner, around)

    def around(self, span: Span) -> list[Place]:
        """Return where the entry is whose kind has this place, and the items of lists that it stands in."""
        found = []
        place = self._found.get(span)
        while place is not None:
            found.append(place)
            place = self._around.get(place.items.span)
        return found

    def of(self, span: Span) -> Place | None:
        """Return where the entry is whose kind has this place."""
        return self._found.get(span)


def without(place: Place) -> Edit | None:
    """Return the edit that takes an item out of its list; None where that cannot be done in place."""
    items, position = place
    elements = items.elements()
    if len(elements) < 2:
        return Edit(items.span, "[]") if items.span.text.startswith("[") else None
    span = place.node.span
    if items.span.text.startswith("["):
        if position + 1 < len(elements):
            following = elements[position + 1].span
            return Edit(span._replace(end_line=following.line, end_column=following.column), "")
        before = elements[position - 1].span
        return Edit(span._replace(line=before.end_line, column=before.end_column), "")
    source = span.source
    dash = _dash(span)
    if dash is None or source.lines[span.line - 1][: dash - 1].strip():
        return None
    if span.end_line < len(source.lines):
        return Edit(Span(source, span.line, 1, span.end_line + 1, 1), "")
    above = source.lines[span.line - 2]
    return Edit(Span(source, span.line - 1, len(above) + 1, span.end_line, span.end_column), "")


def before(place: Place, text: str) -> Edit | None:
    """Return the edit that puts an item before another."""
    span = place.node.span
    start = span._replace(end_line=span.line, end_column=span.column)
    if place.items.span.text.startswith("["):
        return Edit(start, f"{text}, ")
    dash = _dash(span)
    return Edit(start, f"{text}\n{' ' * (dash - 1)}- ") if dash is not None else None


def behind(items: YamlNode, text: str) -> Edit | None:
    """Return the edit that puts an item at the end of a list."""
    elements = items.elements()
    if items.span.text.startswith("["):
        if not elements:
            return Edit(items.span, f"[{text}]")
        last = elements[-1].span
        return Edit(last._replace(line=last.end_line, column=last.end_column), f", {text}")
    if not elements or (dash := _dash(elements[-1].span)) is None:
        return None
    source, line = items.span.source, elements[-1].span.end_line
    at = len(source.lines[line - 1]) + 1  # behind a comment, too
    return Edit(Span(source, line, at, line, at), f"\n{' ' * (dash - 1)}- {text}")


def _dash(span: Span) -> int | None:
    """Return the column of the dash before an item of a list without brackets."""
    head = span.source.lines[span.line - 1][: span.column - 1].rstrip()
    return len(head) if head.endswith("-") else None
