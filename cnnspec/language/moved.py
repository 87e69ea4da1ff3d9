"""Keys of the `train:` section that belong to one of its parts: a learning rate beside the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cnnspec.diagnostics import Edit, Fix
from cnnspec.graph.settings import Choice
from cnnspec.graph.training import Train
from cnnspec.language.edits import with_field, without_key
from cnnspec.language.entry import Entry
from cnnspec.language.scope import Scope
from cnnspec.language.suggestions import suggest
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import quoted


def to_part(scope: Scope, node: YamlNode, key: str) -> list[Fix]:
    """Return the fix that moves a key of the section into the part that has such a field, if only one has."""
    item = node.get(key)
    homes = [*_homes(scope, node, key)]
    if item is None or len(homes) != 1 or item.span.line != item.span.end_line:
        return []
    part, main, field, entry = homes[0]
    value, removed = item.span.text, without_key(node, key)
    if entry.config is None:
        added: Edit | None = Edit(entry.span, f"{{{entry.span.text}: {{{field}: {value}}}}}")
    else:
        added = with_field(entry, main, field, value)
    if added is None or removed is None:
        return []
    return [Fix(f"put {quoted(f'{field}: {value}')} into `{part}`", (added, removed), certain=True)]


def into_training(scope: Scope, root: YamlNode, key: str) -> list[Fix]:
    """Return the fix that moves a key of the top level into the `train` section, which has such a field."""
    item, section = root.get(key), root.get("train")
    if item is None or section is None or not section.is_mapping or item.span.line != item.span.end_line:
        return []
    field = suggest(key, Train.model_fields, certain=True)
    if field is None or field in section.keys:
        return []
    added = with_field(Entry("train", root.keys["train"], section, scope), None, field, item.span.text)
    removed = without_key(root, key)
    if added is None or removed is None:
        return []
    return [Fix(f"put {quoted(f'{field}: {item.span.text}')} into `train`", (removed, added), certain=True)]


def _homes(scope: Scope, node: YamlNode, key: str) -> Iterator[tuple[str, str | None, str, Entry]]:
    """Yield the parts that have a field of this name, or of another framework's: part, main field, field, entry."""
    for part, options in Train.choices.items():
        entry = _entry(scope, node.get(part), options)
        cls = options.get(entry.kind) if entry is not None else None
        if cls is None or entry is None:
            continue
        field = suggest(key, cls.model_fields, certain=True)
        if field is not None and entry.get(field) is None:
            yield part, cls.main, field, entry


def _entry(scope: Scope, node: YamlNode | None, options: Mapping[str, type[Choice]]) -> Entry | None:
    """Return the choice that a node holds, without a report of what may be wrong with it."""
    if node is None:
        return None
    if isinstance(node.value, str):
        return Entry(node.value, node.span, None, scope) if node.value in options else None
    if len(node.keys) != 1:
        return None
    ((kind, span),) = node.keys.items()
    return Entry(kind, span, node.get(kind), scope)
