"""The `augment` of a `train:` section: a list of transforms, or a mapping of them to their fields."""

from __future__ import annotations

from collections.abc import Iterable

from cnnspec.graph.settings import Choice
from cnnspec.graph.training import TRANSFORMS, ColorJitter, Flip, OneOf, Transform
from cnnspec.language.entry import Entry, read_entry
from cnnspec.language.expressions import has_reference
from cnnspec.language.fields import read_choice, read_model
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import describe, one_of

_NONE = {"shift": 0, "flip": "none"}
"""What stands for no transform in a mapping."""
_VALID = (Flip(),)
"""In place of alternatives that are not valid, so that the other fields are checked."""


def read_augment(scope: Scope, node: YamlNode) -> tuple[Transform, ...] | None:
    """Return the transforms in their order; report what is wrong with them and return None.

    A mapping stands for its entries in their order, of which `shift: 0` and `flip: none` change nothing.
    """
    if isinstance(node.value, str) and has_reference(node.value):
        try:
            node = YamlNode.of(scope.value(node), node.span)
        except InvalidValue:
            return None
    if node.is_mapping:
        entries = (
            YamlNode({kind: value}, value.span, {kind: node.keys[kind]})
            for kind, value in node.items()
            if kind not in _NONE or value.value != _NONE[kind]
        )
        return _read_all(scope, entries)
    if not node.is_list:
        remedy = f"`augment: [{node.value}]`" if node.value in TRANSFORMS else "`augment: [shift: 2, flip: horizontal]`"
        message = f"`augment` takes a list of transforms, not {describe(node.plain())}"
        scope.error("wrong-type", message, node.span, help=remedy)
        return None
    return _read_all(scope, node.elements())


def _read_all(scope: Scope, nodes: Iterable[YamlNode]) -> tuple[Transform, ...] | None:
    read = [_read_transform(scope, node) for node in nodes]
    found = tuple(transform for transform in read if isinstance(transform, Transform))
    return found if len(found) == len(read) else None


def _read_transform(scope: Scope, node: YamlNode) -> Choice | None:
    entry = read_entry(scope, node, "a transform")
    if entry is None:
        return None
    if entry.kind == OneOf.kind:
        return _read_one_of(entry)
    if entry.kind == ColorJitter.kind and _has_only(entry.config, "probability"):
        changes = [f"`{name}`" for name in ColorJitter.model_fields if name != "probability"]
        remedy = f"`{entry.kind}: {{brightness: 0.4}}`"
        scope.error("missing-key", f"`{entry.kind}` needs {one_of(changes)}", entry.span, help=remedy)
        return None
    return read_choice(scope, TRANSFORMS, node, "augment")


def _has_only(config: YamlNode | None, key: str) -> bool:
    """Return whether a configuration is empty but for that key."""
    if config is None or config.value is None:
        return True
    return config.is_mapping and set(config.keys) <= {key}


def _read_one_of(entry: Entry) -> Choice | None:
    """Return the choice of one of several transforms, which are a list, or the field `transforms` of a mapping."""
    config = entry.config
    listed = config.get("transforms") if config is not None and config.is_mapping else config
    if listed is None or listed.value is None:
        return read_model(OneOf, entry, main=OneOf.main)
    if not listed.is_list:
        message = f"`{entry.kind}` takes a list of transforms, not {describe(listed.plain())}"
        entry.scope.error("wrong-type", message, listed.span, help=f"`{entry.kind}: [rotate: 10, blur]`")
        return None
    transforms = _read_all(entry.scope, listed.elements())
    if not listed.elements():
        entry.scope.error("invalid-value", f"`{entry.kind}` takes at least one transform", listed.span)
    rest = None
    if config is not None and config.is_mapping:
        rest = YamlNode({key: item for key, item in config.items() if item is not listed}, config.span, config.keys)
    found = read_model(OneOf, entry._replace(config=rest), overrides={"transforms": transforms or _VALID})
    return found if transforms else None
