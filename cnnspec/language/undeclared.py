"""Parameters that the layers of a block refer to and its uses give, but that the block does not declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cnnspec.diagnostics import Edit, Fix, Label, Span
from cnnspec.language.blocks import Block
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.edits import with_key
from cnnspec.language.entry import Entry
from cnnspec.language.expressions import references
from cnnspec.language.params import type_of
from cnnspec.language.scope import InvalidValue, within
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find

Blocks = Mapping[str, Block | None]


def propose_declarations(collector: DiagnosticCollector, blocks: Blocks, block: Block, entry: Entry) -> None:
    """Add fixes that declare a parameter to the errors of its references in the layers of a block.

    `entry` is a use of the block, whose layers are expanded.
    """
    if not collector.proposes_fixes:
        return
    for name in block.undeclared(entry.config):
        fixes = tuple(_fixes(blocks, block, name, entry))
        for span in _places(block.layers, name):
            collector.explain("unknown-param", span, (), fixes)


def _places(node: YamlNode, name: str) -> Iterator[Span]:
    """Yield the places of the references to a name within a node."""
    if isinstance(node.value, str):
        for found, start, end in references(node.value):
            if found == name:
                first = start - 1 if node.value[start - 1 : start] == "$" else start
                yield within(node.span, node.value, first, end)
    for item in (*node.elements(), *(item for _, item in node.items())):
        yield from _places(item, name)


def _fixes(blocks: Blocks, block: Block, name: str, entry: Entry) -> Iterator[Fix]:
    """Yield the declaration by its type, which every use has to give, and with the default of the layers' field."""
    default = _default(blocks, block.layers, name)
    for text in (_type(entry, name), None if default is None else str(default)):
        edit = _declared(block, name, text) if text else None
        if edit is not None:
            label = Label(block.node.keys.get("params", block.span), f"does not declare `{name}`")
            yield Fix(f"declare `{name}: {text}` in the parameters of `{block.name}`", (edit,), cause=label)


def _declared(block: Block, name: str, text: str) -> Edit | None:
    params = block.node.get("params")
    if params is not None:
        return with_key(params, name, text)
    return with_key(block.node, "params", f"{{{name}: {text}}}")


def _type(entry: Entry, name: str) -> str | None:
    """Return the type of the value that a use gives."""
    given = entry.get(name)
    assert given is not None
    try:
        return type_of(entry.scope.value(given))
    except InvalidValue:
        return None


def _default(blocks: Blocks, node: YamlNode, name: str) -> int | str | None:
    """Return the default of the field, of a layer or a block, that takes the value of a parameter; None for none."""
    for kind, config in node.items():
        for field, item in config.items():
            if item.value == f"${name}" and isinstance(default := _of_field(blocks, kind, field), int | str):
                return default
    inner = (*node.elements(), *(item for _, item in node.items()))
    return next((found for item in inner if (found := _default(blocks, item, name)) is not None), None)


def _of_field(blocks: Blocks, kind: str, field: str) -> Any:
    """Return the default of a field of a layer or a block; None where it has none."""
    cls, block = find(kind), blocks.get(kind)
    if cls is not None and field in cls.model_fields:
        return cls.model_fields[field].default
    if block is not None and field in block.params and not block.params[field].required:
        return block.params[field].default
    return None
