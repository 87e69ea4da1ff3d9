"""The `params` of a spec and their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cnnspec.diagnostics import Label, Source, Span
from cnnspec.language.expressions import LOST
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.wording import nearest, quoted, says

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "text": (str,),
    "list": (list,),
}


def read_params(scope: Scope, chain: list[YamlNode], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `params`: those of the extended spec, then the spec's own, then the command line's."""
    values: dict[str, Any] = {}
    for level in reversed(chain):
        node = level.get("params")
        if node is None:
            continue
        if not node.is_mapping:
            scope.fault("wrong-type", f"`params` takes names and values, not {says(node.plain())}", node.span)
            continue
        base = level is chain[-1]
        known = dict(values)
        for name, item in node.items():
            if not NAME.fullmatch(name) or "-" in name:
                message = f"{quoted(name)} cannot be written as {quoted('$' + name)}"
                scope.fault("invalid-name", message, node.keys[name], help=_NAMES)
                values.setdefault(name.split("-")[0], LOST)
                continue
            if not base and name not in known:
                near = nearest(name, known)
                remedy = f"did you mean `{near}`?" if near else f"it has {_listed(known)}"
                message = f"the extended spec has no parameter `{name}`"
                scope.fault("unknown-param", message, node.keys[name], help=remedy)
                continue
            try:
                value = scope.inside(values=values).value(item)
            except Faulty:
                value = LOST
            if isinstance(value, dict):
                scope.fault(
                    "wrong-type", f"`{name}` takes a number, text, a list, true or false, not a mapping", item.span
                )
                value = LOST
            if name in overrides:
                value = _override(scope, name, value, overrides[name], node.keys[name])
            elif name in known:
                value = _same_type(scope, name, known[name], value, item.span)
            values[name] = value
    for name, given in overrides.items():
        if name not in values:
            near = nearest(name, values)
            remedy = f"did you mean `{near}`?" if near else f"it has {_listed(values)}"
            scope.fault("unknown-param", f"the spec has no parameter {quoted(name)}", _set(name, given), help=remedy)
    return values


def _set(name: str, value: Any) -> Span:
    """The place of a parameter that is set from outside, which stands in no file."""
    return Span(Source("--set", f"{name}={value}"), 1, 1, 1, len(name) + 1)


_NAMES = "letters, digits and _, and no digit first"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def type_name(value: Any) -> str:
    """The type of a parameter's value, by the name that a block's declaration has for it; `lost` after a fault."""
    if value is LOST:
        return "lost"
    return next((name for name, types in _TYPES.items() if type(value) in types), "nothing")


def a_type(type_: str) -> str:
    """A type as messages name it."""
    return {"int": "an int", "float": "a float", "bool": "true or false", "list": "a list"}.get(type_, type_)


def meant_type(default: str) -> str | None:
    """The type that a text was meant to name: `int` for `integer`."""
    from cnnspec.language.suggestions import suggest

    return suggest(default, _TYPES)


def is_of(value: Any, type_: str) -> bool:
    """Whether a value is of a type; a whole number will do as a float."""
    return type_ == "lost" or value is LOST or type(value) in _TYPES[type_]


def _override(scope: Scope, name: str, default: Any, value: Any, place: Span) -> Any:
    declared = type_name(default)
    if declared == "nothing" or is_of(value, declared):
        return value
    message = f"`{name}` takes {a_type(declared)}, not {says(value)}"
    scope.fault("wrong-type", message, _set(name, value), "", Label(place, f"is {says(default)}"))
    return LOST


def _same_type(scope: Scope, name: str, default: Any, value: Any, place: Span) -> Any:
    declared = type_name(default)
    if declared == "nothing" or is_of(value, declared):
        return value
    message = f"the extended spec's `{name}` takes {a_type(declared)}, not {says(value)}"
    scope.fault("wrong-type", message, place)
    return LOST
