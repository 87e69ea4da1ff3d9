"""The `params` of a spec and their types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cnnspec.diagnostics import Label, Source, Span
from cnnspec.language.expressions import UNRESOLVED, has_reference
from cnnspec.language.names import check_param_name
from cnnspec.language.repairs import for_name
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.yaml_tree import MAX_DIGITS, YamlNode
from cnnspec.wording import describe, nearest, quoted

TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "text": (str,),
    "list": (list,),
    "size": (int, list),
    "layer": (str, dict),
}
"""The types of parameters by the names that blocks declare them with; a whole number will do as a float.

A size is one number for every axis, or a list with one for each, whose items the layer checks; a layer is its kind
alone, or a mapping of it to its fields.
"""


def read_params(scope: Scope, chain: list[YamlNode], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `params`: those of the extended spec, replaced by the spec's own, then by `overrides`.

    `chain` holds the spec and those that it extends, nearest first. A value is UNRESOLVED where it is not valid.
    """
    values: dict[str, Any] = {}
    overrides = {name: _read_override(scope, name, value) for name, value in overrides.items()}
    for level in reversed(chain):
        node = level.get("params")
        if node is not None and not node.is_mapping:
            message = f"`params` takes names and values, not {describe(node.plain())}"
            scope.error("wrong-type", message, node.span)
        elif node is not None:
            inherited = None if level is chain[-1] else dict(values)
            for name, item in node.items():
                _read_param(scope, name, item, node.keys[name], values, inherited, overrides)
    for name, value in overrides.items():
        if name not in values:
            message = f"the spec has no parameter {quoted(name)}"
            scope.error("unknown-param", message, _option(name, value), help=_known(name, values))
    return values


def _read_param(
    scope: Scope,
    name: str,
    item: YamlNode,
    span: Span,
    values: dict[str, Any],
    inherited: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
) -> None:
    """Add one parameter to `values`; `inherited` are those of the extended spec, if there is one."""
    if not check_param_name(name, span, scope):
        values.setdefault(name.split("-")[0], UNRESOLVED)
        return
    if inherited is not None and name not in inherited:
        message = f"the extended spec has no parameter `{name}`"
        fixes = for_name(name, span, inherited)[1]
        scope.error("unknown-param", message, span, help=_known(name, inherited), fixes=fixes)
        return
    try:
        value = scope.replace(values=values).value(item)
    except InvalidValue:
        value = UNRESOLVED
    if name in overrides:
        default, value = value, overrides[name]
        if not has_type(value, expected := type_of(default)):
            message = f"`{name}` takes {with_article(expected)}, not {describe(value)}"
            default_label = Label(span, f"is {describe(default)}")
            scope.error("wrong-type", message, _option(name, value), "", default_label)
            value = UNRESOLVED
    elif inherited is not None and not has_type(value, expected := type_of(inherited[name])):
        message = f"the extended spec's `{name}` takes {with_article(expected)}, not {describe(value)}"
        scope.error("wrong-type", message, item.span)
        value = UNRESOLVED
    values[name] = value


def _read_override(scope: Scope, name: str, value: Any) -> Any:
    """Return a value from outside as the text of a spec could hold it; report any other and return UNRESOLVED."""
    if _is_plain(value):
        return _copied(value)
    span = Span(Source("--set", f"{name}=…"), 1, 1, 1, len(name) + 1)
    message = f"{quoted(name)} takes a number, text, a list, a mapping, true or false, not {describe(value)}"
    remedy = "it holds no `$`, and the keys of a mapping are text" if isinstance(value, str | Collection) else ""
    scope.error("wrong-type", message, span, help=remedy)
    return UNRESOLVED


def _is_plain(value: Any) -> bool:
    """Return whether a value is plain, and refers to nothing: a mapping is read as text would be, where it is used."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(key) and _is_plain(item) for key, item in value.items())
    if isinstance(value, str):
        return not has_reference(value)
    if isinstance(value, int):
        return bool(abs(value) < 10**MAX_DIGITS)
    return value is None or isinstance(value, float)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return list(map(_copied, value)) if isinstance(value, list | tuple) else value


def _option(name: str, value: Any) -> Span:
    """Return the place of a parameter that is set from outside, which is in no file."""
    return Span(Source("--set", f"{name}={'…' if value is UNRESOLVED else value}"), 1, 1, 1, len(name) + 1)


def _known(name: str, names: Mapping[str, Any]) -> str:
    """Return help for a parameter that does not exist."""
    near = nearest(name, names)
    return f"did you mean `{near}`?" if near else f"it has {', '.join(f'`{known}`' for known in names) or 'none'}"


def type_of(default: Any) -> str | None:
    """Return the type of a parameter by its default; None where that is unresolved or null, which restricts nothing.

    Text may be the kind of a layer, in place of which a mapping of the kind to its fields may stand.
    """
    name = next((name for name, types in TYPES.items() if type(default) in types), None)
    return "layer" if name == "text" else name


def with_article(type_: str | None) -> str:
    """Return the name of a type as messages write it."""
    return _WITH_ARTICLE.get(type_ or "", str(type_))


_WITH_ARTICLE = {
    "int": "an int",
    "float": "a float",
    "bool": "true or false",
    "list": "a list",
    "size": "an int or a list",
    "layer": "text or a mapping",
}


def suggest_type(default: str) -> str | None:
    """Return the type that a text probably stands for: `int` for `integer`."""
    from cnnspec.language.suggestions import suggest

    return suggest(default, TYPES)


def has_type(value: Any, type_: str | None) -> bool:
    """Return whether a value is of a type, or nothing is known of one of them."""
    return type_ is None or value is UNRESOLVED or type(value) in TYPES[type_]
