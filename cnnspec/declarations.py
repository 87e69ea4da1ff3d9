"""What a spec declares before its layers: its parameters and its blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnspec.diagnostics import Label, Source, Span
from cnnspec.expressions import LOST
from cnnspec.layers import find
from cnnspec.reading import Faulty, Scope, unknown_keys
from cnnspec.source import Node
from cnnspec.wording import nearest, quoted, says

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "text": (str,),
    "list": (list,),
}
_REQUIRED = object()


@dataclass(frozen=True)
class Param:
    """A typed parameter of a block: its type's name, its default if any, and where it is declared."""

    type: str
    default: Any
    span: Span

    @property
    def required(self) -> bool:
        """Whether a use must give it."""
        return self.default is _REQUIRED


@dataclass(frozen=True)
class Block:
    """A named piece of network with parameters, still as text."""

    name: str
    params: dict[str, Param]
    layers: Node
    span: Span


# Parameters


def read_params(scope: Scope, chain: list[Node], overrides: Mapping[str, Any]) -> dict[str, Any]:
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
    from cnnspec.suggestions import suggest

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


# Blocks


def read_blocks(scope: Scope, chain: list[Node]) -> dict[str, Block | None]:
    """The blocks of a spec and of those that it extends, the nearest first; None for one that is at fault."""
    found: dict[str, Block | None] = {}
    for level in chain:
        node = level.get("blocks")
        if node is None:
            continue
        if not node.is_mapping:
            scope.fault("wrong-type", f"`blocks` takes names and definitions, not {says(node.plain())}", node.span)
            scope.findings.excused.add("unknown-kind")
            continue
        for name, item in node.items():
            block = _block(scope, name, item, node.keys[name])
            if find(name) is None:
                found.setdefault(name, block)
    return found


def _block(scope: Scope, name: str, node: Node, place: Span) -> Block | None:
    if not NAME.fullmatch(name) or name in ("repeat", "from", "input"):
        remedy = f"`{name}` is a word of the language" if NAME.fullmatch(name) else _NAMES
        scope.fault("invalid-name", f"a block cannot be called {quoted(name)}", place, help=remedy)
        return None
    if find(name) is not None:
        scope.fault("duplicate-name", f"`{name}` is the kind of a layer", place, help="call the block otherwise")
        return None
    if not node.is_mapping:
        message = f"a block is a mapping with `layers`, not {says(node.plain())}"
        scope.fault("wrong-type", message, place, help="`layers: [...]`")
        return None
    lost = unknown_keys(scope, node, ("params", "layers"), f"the block `{name}`")
    layers = node.get("layers")
    if layers is None or not layers.is_list:
        if not lost & {"layers", ""}:
            scope.fault("missing-key", f"the block `{name}` needs a list of `layers`", place, help="`layers: [...]`")
        return None
    params: dict[str, Param] = {}
    declared = node.get("params")
    if declared is not None and not declared.is_mapping:
        scope.fault("wrong-type", "`params` of a block takes names with types or defaults", declared.span)
        return None
    for param, item in declared.items() if declared else ():
        where = declared.keys[param] if declared else place
        if not NAME.fullmatch(param) or "-" in param or param in ("name", "expect"):
            remedy = f"every use of a block takes a `{param}`" if param in ("name", "expect") else _NAMES
            scope.fault("invalid-name", f"a parameter cannot be called {quoted(param)}", where, help=remedy)
            params[param.split("-")[0]] = Param("lost", LOST, where)
            continue
        if isinstance(item.value, str) and item.value in _TYPES:
            params[param] = Param(item.value, _REQUIRED, where)
            continue
        try:
            default = scope.value(item)
        except Faulty:
            default = LOST
        if default is None or isinstance(default, dict):
            message = f"`{param}` takes a type ({', '.join(_TYPES)}) or a default, not {says(default)}"
            scope.fault("wrong-type", message, item.span)
            default = LOST
        params[param] = Param(type_name(default), default, where)
    return Block(name, params, layers, place)
