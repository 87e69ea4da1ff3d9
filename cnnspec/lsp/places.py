"""What stands at a place of a text that can be read: the key or the value, and the path that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnnspec.diagnostics import Source, Span
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.lsp.context import ITEM, Path
from cnnspec.lsp.positions import point_of


class Found(NamedTuple):
    """A key or a value: the path to it, its place, its value, and whether it is the key."""

    path: Path
    span: Span
    node: YamlNode
    """The value, of the key, too."""
    is_key: bool
    parents: tuple[YamlNode, ...]
    """The lists and mappings around it, outermost first."""


def covers(span: Span, line: int, column: int) -> bool:
    """Return whether a place lies within a span, or at its end."""
    return (span.line, span.column) <= (line, column) <= (span.end_line, span.end_column)


def found_at(root: YamlNode, source: Source, offset: int) -> Found | None:
    """Return the innermost key or value at an offset; None where none is."""
    line, column = point_of(source, offset)
    path: Path = ()
    parents: tuple[YamlNode, ...] = ()
    node = root
    while True:
        parents = (*parents, node)
        for key, item in node.items():
            if covers(node.keys[key], line, column):
                return Found((*path, key), node.keys[key], item, True, parents)
        inside = next(((step, item) for step, item in children(node) if covers(item.span, line, column)), None)
        if inside is None:
            return None
        path, node = (*path, inside[0]), inside[1]
        if not node.is_mapping and not node.is_list:
            return Found(path, node.span, node, False, parents)


def children(node: YamlNode) -> Iterator[tuple[str | None, YamlNode]]:
    """Yield the items of a list, or the keys and values of a mapping."""
    yield from node.items()
    yield from ((ITEM, item) for item in node.elements())
