"""Where a parameter that a field refers to gets its value: an argument, a default, a round of a repeat, `params`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cnnspec.diagnostics import Edit, Span
from cnnspec.language.blocks import Block
from cnnspec.language.causes.places import Places
from cnnspec.language.document import Document
from cnnspec.language.edits import with_field
from cnnspec.language.entry import Entry
from cnnspec.language.expressions import has_reference
from cnnspec.language.yaml_tree import YamlNode

_REFERENCE = re.compile(r"\$(?:\((\w+)\)|(\w+))")


class Origin(NamedTuple):
    """A place of the text that gives a parameter its value."""

    title: str
    """How a message ends that says where the value is set, such as "on `unit6`"."""
    name: str
    """The name that the parameter has there."""
    value: Any
    """Its value now; None where it is not given there, and has its default."""
    place: Span
    field: tuple[Entry, str | None] | None = None
    """The use of a block, and the parameter that stands for its configuration, where it is an argument."""

    def edit(self, text: str) -> Edit | None:
        """Return the edit that gives it another value."""
        if self.field is None:
            return Edit(self.place, text)
        entry, main = self.field
        return with_field(entry, main, self.name, text)


def reference(node: YamlNode | None) -> str | None:
    """Return the name that a node refers to, if that is all that it holds."""
    found = _REFERENCE.fullmatch(node.value) if node is not None and isinstance(node.value, str) else None
    return (found[1] or found[2]) if found else None


def origins(document: Document, places: Places, entry: Entry, name: str) -> Iterator[Origin]:
    """Yield where a parameter, which an entry refers to, gets its value; the nearest first."""
    value = entry.scope.values.get(name)  # references hand it on as it is
    blocks = list(entry.scope.open_blocks)
    for label in entry.scope.stack:
        place = places.of(label.span)
        if place is None:
            return
        kind = next((kind for kind, span in place.node.keys.items() if span == label.span), None)
        config = place.node.get(kind) if kind is not None else None
        if kind == "repeat":
            each = config.get("each") if config is not None else None
            if each is not None and name in each.keys:
                yield from _of_round(each, name, value, label.span)
                return
            continue
        block = document.blocks.get(blocks.pop(0)) if blocks else None
        if block is None:
            return
        if name not in block.params:
            break
        use = Entry(block.name, label.span, config, entry.scope)
        given = _given(block, config, name)
        if given is None:
            yield from _of_default(block, name)
        if given is None or not has_reference(str(given.value)):
            yield _of_use(block, use, name, given)
            return
        outer = reference(given)
        if outer is None:
            return
        name = outer
    yield from _of_params(document, name)


def _given(block: Block, config: YamlNode | None, name: str) -> YamlNode | None:
    """Return the argument of a use of a block."""
    if config is None or config.value is None:
        return None
    if config.is_mapping:
        return config.get(name)
    return config if name == next(iter(block.params)) else None


def _of_use(block: Block, use: Entry, name: str, given: YamlNode | None) -> Origin:
    called = use.get("name")
    where = f"on `{called.value}`" if called is not None else f"where `{block.name}` is used in line {use.span.line}"
    value = given.value if given is not None else None
    place = given.span if given is not None else use.span
    return Origin(where, name, value, place, (use, next(iter(block.params))))


def _of_default(block: Block, name: str) -> Iterator[Origin]:
    params = block.node.get("params")
    node = params.get(name) if params is not None else None
    if node is not None and not block.params[name].required and not has_reference(str(node.value)):
        yield Origin(f"as the default of `{block.name}`", name, node.value, node.span)


def _of_round(each: YamlNode, name: str, value: Any, span: Span) -> Iterator[Origin]:
    """Yield the item of a list of a `repeat`, where it is the only one of its value."""
    items = each.get(name)
    found = [item for item in items.elements() if item.value == value] if items is not None else []
    if len(found) == 1:
        yield Origin(f"for that round of the `repeat` in line {span.line}", name, value, found[0].span)


def _of_params(document: Document, name: str) -> Iterator[Origin]:
    for level in document.levels:
        params = level.get("params")
        node = params.get(name) if params is not None else None
        if node is not None:
            if not has_reference(str(node.value)):
                yield Origin("among the `params`", name, node.value, node.span)
            return
