"""What a spec declares before its layers: its parameters and its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnnspec.diagnostics import Label, Span
from cnnspec.language.expressions import LOST
from cnnspec.language.fields import example, unknown_keys
from cnnspec.language.params import _NAMES, _TYPES, NAME, a_type, is_of, meant_type, type_name
from cnnspec.language.scope import Faulty, Scope
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.wording import names, quoted, says

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
    layers: YamlNode
    span: Span


# Parameters


# Blocks


def read_blocks(scope: Scope, chain: list[YamlNode]) -> dict[str, Block | None]:
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


def _block(scope: Scope, name: str, node: YamlNode, place: Span) -> Block | None:
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


def arguments(block: Block, place: Span, config: YamlNode | None, scope: Scope) -> dict[str, Any]:
    """The values of a block's parameters at one use; LOST for those that cannot be had."""
    given: dict[str, YamlNode] = {}
    lost: set[str] = set()
    if config is not None and config.is_mapping:
        required = [key for key, param in block.params.items() if param.required]
        known = (*block.params, "name", "expect")
        lost = unknown_keys(scope, config, known, f"`{block.name}`", required)
        given = {key: item for key, item in config.items() if key in block.params}
    elif config is not None and config.value is not None:
        if block.params:
            given = {next(iter(block.params)): config}
        else:
            message = f"`{block.name}` takes no value: it has no parameters"
            scope.fault("wrong-type", message, config.span, "", Label(block.span, "declared here"))
    missing = [key for key, param in block.params.items() if param.required and key not in given]
    if missing and not lost & {*missing, ""}:
        declared = [Label(block.params[key].span, "declared here") for key in missing]
        scope.fault(
            "missing-key",
            f"`{block.name}` needs {names(missing)}",
            place,
            "",
            *declared,
            help=example(block.name, missing, config),
        )
    return {key: _argument(block, key, param, given.get(key), scope) for key, param in block.params.items()}


def _argument(block: Block, key: str, param: Param, item: YamlNode | None, scope: Scope) -> Any:
    """The value of one parameter of a block."""
    if item is None:
        return LOST if param.required else param.default
    try:
        value = scope.value(item)
    except Faulty:
        return LOST
    if is_of(value, param.type):
        return value
    remedy = ""
    if param.type == "text" and not param.required and (type_ := meant_type(param.default)):
        remedy = f"`{key}: {type_}` declares a parameter without a default"
    declared = Label(param.span, f"declared here, as {param.type}")
    message = f"`{key}` of `{block.name}` takes {a_type(param.type)}, not {says(value)}"
    scope.fault("wrong-type", message, item.span, "", declared, help=remedy)
    return LOST
