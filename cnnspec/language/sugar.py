"""`norm` and `activation` of a layer with weights, which stand for layers behind it."""

from __future__ import annotations

from cnnspec.language.entry import Entry
from cnnspec.language.scope import InvalidValue
from cnnspec.language.yaml_tree import YamlNode

SUGAR = ("norm", "activation")
"""Fields of layers with weights that stand for further layers, in the order in which these follow."""
NONE = "none"
"""The value of such a field that stands for no layer."""


def sugar(entry: Entry, key: str) -> YamlNode | None:
    """Return what a layer has as its norm or its activation; None where that is left out, or `none`."""
    item = entry.get(key)
    if item is None or not isinstance(item.value, str):
        return item
    try:
        value = entry.scope.value(item)
    except InvalidValue:
        return item
    return None if value == NONE else item
