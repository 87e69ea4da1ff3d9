"""An entry of a list: a kind, alone or with what it is configured by."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cnnspec.diagnostics import Span
from cnnspec.language.entry_repairs import for_keys, spliced
from cnnspec.language.expressions import has_reference
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.wording import describe, quoted

COMMON_KEYS = ("name", "expect", "share")
"""Keys that every layer and every use of a block takes."""


class Entry(NamedTuple):
    """A kind (of layer, loss, optimizer, ...), its place, its configuration if any, and the scope it is read in."""

    kind: str
    span: Span
    config: YamlNode | None
    scope: Scope

    def get(self, key: str) -> YamlNode | None:
        """Return the value of a key of the configuration, if it is there."""
        return self.config.get(key) if self.config is not None else None

    def span_of(self, key: str) -> Span:
        """Return the place of a key's value; of the configuration or the entry where there is no such key."""
        return self.config.at((key,)) if self.config is not None else self.span

    def with_fields(self) -> Entry:
        """Return it with the mapping that a parameter holds in place of the reference to that, if it is one."""
        node = self.config
        if node is None or not isinstance(node.value, str) or not node.value.startswith("$"):
            return self
        if not isinstance(self.scope.values.get(node.value[1:]), dict):
            return self
        try:
            value = self.scope.value(node)
            return self._replace(config=self.scope.source_of(node.value) or YamlNode.of(value, node.span))
        except InvalidValue:
            return self


def read_entry(scope: Scope, node: YamlNode, what: str, kinds: Collection[str] = ()) -> Entry | None:
    """Return the entry that a node holds; report an error and return None for anything else.

    `kinds` are those that are known, for fixes.
    """
    if isinstance(node.value, str):
        kind, span, config = node.value, node.span, None
    elif node.is_mapping and len(node.keys) == 1:
        ((kind, span),) = node.keys.items()
        config = node.get(kind)
    elif node.is_mapping and node.keys:
        (first, _), (second, span), *_ = node.keys.items()
        kind, inner = (second, first) if first in COMMON_KEYS else (first, second)
        config, field = node.get(kind), node.get(inner)
        fields = ["…"] if config is not None and config.value is not None else []
        fields.append(f"{inner}: {field.value if field is not None and isinstance(field.value, str) else '…'}")
        message = f"{what} is one kind, and here are {len(node.keys)} keys"
        remedy = f"if {quoted(inner)} belongs to {quoted(kind)}, indent it further or write "
        remedy += quoted(f"{kind}: {{{', '.join(fields)}}}")
        fixes = for_keys(node, kinds)
        scope.error("wrong-type", message, span, f"beside {quoted(first)}", help=remedy, fixes=fixes)
        return None
    else:
        found = describe(node.plain()) if not node.is_mapping else "an empty mapping"
        message = f"{what} is a kind, or a mapping of a kind to its fields; here is {found}"
        remedy = "`- relu`, or `- conv: {channels: 6, kernel: 5}`" if what == "a layer" else ""
        if node.value is None and what in ("`norm`", "`activation`"):
            remedy = f"`{what.strip('`')}: none` stands for no layer"
        fixes = spliced(node.span, node) if node.is_list and what == "a layer" else []
        scope.error("wrong-type", message, node.span, help=remedy, fixes=fixes)
        return None
    if has_reference(kind):
        try:
            value = scope.value(YamlNode(kind, span))
        except InvalidValue:
            return None
        if isinstance(value, dict) and config is None:
            held = read_entry(scope, scope.source_of(kind) or YamlNode.of(value, span), what)
            is_known = held is not None and (held.kind in kinds or find(held.kind) is not None)
            return held._replace(span=span) if held is not None and is_known else held
        if not isinstance(value, str):
            scope.error("wrong-type", f"{quoted(kind)} is {describe(value)}, and a kind is text", span)
            return None
        kind = value
    return Entry(kind, span, config, scope)
