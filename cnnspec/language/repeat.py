"""The values that each round of a `repeat` binds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Label
from cnnspec.language.entry import Entry
from cnnspec.language.expressions import UNRESOLVED
from cnnspec.language.fields import UnknownKeys
from cnnspec.language.names import check_param_name
from cnnspec.language.scope import InvalidValue
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers.fields import LARGEST
from cnnspec.wording import describe

Bindings = dict[str, Any]
REPEAT_KEYS = ("times", "each", "layers", "name", "first", "index")


def repeat_bindings(entry: Entry, unknown: UnknownKeys, most: int) -> list[Bindings] | None:
    """Return what each round of a repeat binds, for at most so many rounds; report an error and return None."""
    scope, times, each = entry.scope, entry.get("times"), entry.get("each")
    if (times is None) == (each is None):
        if times is not None or not unknown.explain("times", "each"):
            remedy = "`times: 3`, or `each: {c: [64, 128]}` with a list of values"
            scope.error("missing-key", "`repeat` takes either `times` or `each`", entry.span, help=remedy)
        return None
    return _times(entry, times, most) if times is not None else _each(entry, each) if each is not None else None


def first_number(entry: Entry) -> int | None:
    """Return the number of a repeat's first round; report one that is not valid and return None."""
    node = entry.get("first")
    if node is None:
        return 1
    try:
        first = entry.scope.value(node)
    except InvalidValue:
        return None
    if isinstance(first, bool) or not isinstance(first, int):
        entry.scope.error("wrong-type", f"`first` takes a whole number, not {describe(first)}", node.span)
    elif not 0 <= first <= LARGEST:
        entry.scope.error("invalid-value", f"`first` takes 0 or more, not {describe(first)}", node.span)
    elif entry.get("name") is None and entry.get("index") is None:
        remedy = "add a `name`, which the number is written behind, or an `index`, which it is the value of"
        message = "`first` numbers the rounds of a repeat with a `name` or an `index`"
        entry.scope.error("not-allowed-here", message, node.span, help=remedy)
    else:
        return first
    return None


def index_name(entry: Entry) -> str | None:
    """Return the name that stands for the number of a round; report one that is not valid and return None."""
    node, scope, each = entry.get("index"), entry.scope, entry.get("each")
    if node is None:
        return None
    if not isinstance(node.value, str):
        message = f"`index` takes the name of a parameter, not {describe(node.plain())}"
        scope.error("wrong-type", message, node.span, help="`index: i`")
    elif each is not None and node.value in each.keys:
        declared = Label(each.keys[node.value], "has a value for each round")
        scope.error("duplicate-name", f"`{node.value}` is a name of `each`, too", node.span, "", declared)
    elif check_param_name(node.value, node.span, scope):
        return node.value
    return None


def _times(entry: Entry, times: YamlNode, most: int) -> list[Bindings] | None:
    try:
        count = entry.scope.value(times)
    except InvalidValue:
        return None
    if isinstance(count, bool) or not isinstance(count, int):
        entry.scope.error("wrong-type", f"`times` takes a whole number, not {describe(count)}", times.span)
        return None
    if count < 0:
        entry.scope.error("invalid-value", f"`times` takes 0 or more, not {describe(count)}", times.span)
        return None
    return [{}] * min(count, most)


def _each(entry: Entry, each: YamlNode) -> list[Bindings] | None:
    scope = entry.scope
    try:
        lists = {key: scope.value(item) for key, item in each.items()}
    except InvalidValue:
        return None
    valid = [check_param_name(key, each.keys[key], scope) for key in lists]
    if not all(valid):
        return None
    if not lists or not all(isinstance(values, list) for values in lists.values()):
        remedy = "`each: {c: [64, 128], n: [1, 2]}`"
        scope.error("wrong-type", "`each` takes names and lists of values", each.span, help=remedy)
        return None
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1:
        first, *others = (
            Label(each.keys[key], f"{length} value{'s' * (length != 1)}") for key, length in lengths.items()
        )
        message = "the lists of `each` have different lengths"
        scope.error("uneven-each", message, first.span, first.text, *others)
        return None
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def unresolved_bindings(config: YamlNode) -> Bindings:
    """Return the names that the rounds of an invalid repeat would bind, without values."""
    return {name: UNRESOLVED for _, item in config.items() for name in item.keys}


def format_bindings(values: Mapping[str, Any]) -> str:
    """Return what a use or a round binds, as the end of a label: `, with c = 64`."""
    shown = ", ".join(f"{key} = {_short(value)}" for key, value in values.items() if value is not UNRESOLVED)
    return f", with {shown}" if shown else ""


def _short(value: Any) -> str:
    text = str(value).replace("'", "") if isinstance(value, dict) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
