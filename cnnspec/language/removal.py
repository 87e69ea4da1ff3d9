"""The edit that takes what stands at a place out of a text: an item of a list, or a key with its value."""

from __future__ import annotations

from collections.abc import Iterable

from cnnspec.diagnostics import Edit, Fix, Span
from cnnspec.language.causes.places import Places, without
from cnnspec.language.key_edits import without_key
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted

_BETWEEN = " -,\n\r"


def removal(roots: Iterable[YamlNode], span: Span | None) -> list[Fix]:
    """Return the fix that leaves out the layer whose kind, or the field whose value, stands at a place of the texts."""
    if span is None:
        return []
    roots = [*roots]
    place = Places(roots).of(span)
    edit = without(place) if place is not None else None
    if edit is None and place is None:
        edit = next((found for root in roots if (found := _without_value(root, span)) is not None), None)
    if edit is None:
        return []
    return [Fix(f"leave out {quoted(edit.span.text.strip(_BETWEEN))}", (edit,))]


def _without_value(node: YamlNode, span: Span) -> Edit | None:
    """Return the edit that takes the key out whose value is at a place; None where no key has it."""
    for key, item in node.items():
        if item.span == span or (len(item.keys) == 1 and next(iter(item.keys.values())) == span):
            return without_key(node, key)
    for inner in (*node.elements(), *(item for _, item in node.items())):
        if (found := _without_value(inner, span)) is not None:
            return found
    return None
