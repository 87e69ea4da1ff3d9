"""The blocks of a spec: their declarations, and their arguments at one use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cnnspec.diagnostics import Fix, Label, Span
from cnnspec.language.edits import with_field
from cnnspec.language.entry import COMMON_KEYS, Entry
from cnnspec.language.entry_repairs import layers_of_block
from cnnspec.language.expressions import UNRESOLVED, arriving, mentions_arriving, references
from cnnspec.language.fields import NO_UNKNOWN_KEYS, example, unknown_keys
from cnnspec.language.key_edits import without_key
from cnnspec.language.names import NAME_RULE, is_name, is_param_name, param_rule
from cnnspec.language.params import TYPES, has_type, suggest_type, type_of, with_article
from cnnspec.language.repairs import replaced
from cnnspec.language.scope import InvalidValue, Scope
from cnnspec.language.value_repairs import for_value, whole_division
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import find
from cnnspec.wording import describe, names, quoted

_REQUIRED = object()
_OTHER_TYPES = ("integer", "double", "number", "boolean", "str", "string", "array", "sequence", "tuple")
"""Names of types in other languages, which nobody takes for the default of a parameter."""
RESERVED = ("repeat", "from", "input")
"""Words of the language, which no block may be called."""


@dataclass(frozen=True)
class Param:
    """A parameter of a block: the name of its type (None for any), its default if it has one, and its place."""

    type: str | None
    default: Any
    """The value, or the node of an expression of `$in`, which is evaluated at each use."""
    span: Span

    @property
    def required(self) -> bool:
        """Whether every use must give it."""
        return self.default is _REQUIRED


@dataclass(frozen=True)
class Block:
    """A named list of layers with parameters, not expanded."""

    name: str
    params: dict[str, Param]
    node: YamlNode
    """The mapping that declares it."""
    span: Span
    scope: Scope
    """The scope of the declaration."""

    @property
    def layers(self) -> YamlNode:
        """The list of its layers."""
        layers = self.node.get("layers")
        assert layers is not None
        return layers

    @cached_property
    def _unbound(self) -> frozenset[str]:
        """The names that its layers refer to and that nothing binds but, maybe, a repeat among them."""
        names = {name for text in self.layers.texts() for name, *_ in references(text)}
        return frozenset(names - self.params.keys() - self.scope.values.keys())

    def undeclared(self, config: YamlNode | None) -> list[str]:
        """Return the names that a use gives and the layers refer to, but that are no parameters."""
        return [key for key in config.keys if key in self._unbound] if config is not None else []


def read_blocks(scope: Scope, chain: list[YamlNode]) -> dict[str, Block | None]:
    """Return the blocks of a spec and of those that it extends, nearest first; None stands for an invalid one."""
    blocks: dict[str, Block | None] = {}
    for level in chain:
        node = level.get("blocks")
        if node is None:
            continue
        if not node.is_mapping:
            message = f"`blocks` takes names and definitions, not {describe(node.plain())}"
            scope.error("wrong-type", message, node.span)
            scope.collector.suppressed_codes.add("unknown-kind")
            continue
        for name, item in node.items():
            block = _read_block(scope, name, item, node.keys[name])
            if find(name) is None:
                blocks.setdefault(name, block)
    return blocks


def _read_block(scope: Scope, name: str, node: YamlNode, span: Span) -> Block | None:
    if not is_name(name) or name in RESERVED:
        remedy = f"`{name}` is a word of the language" if is_name(name) else NAME_RULE
        scope.error("invalid-name", f"a block cannot be called {quoted(name)}", span, help=remedy)
        return None
    if find(name) is not None:
        scope.error("duplicate-name", f"`{name}` is the kind of a layer", span, help="call the block otherwise")
        return None
    if not node.is_mapping:
        message = f"a block is a mapping with `layers`, not {describe(node.plain())}"
        others = [Label(node.span, "a list")] if node.is_list else []
        fixes = layers_of_block(node) if node.is_list else []
        scope.error("wrong-type", message, span, "", *others, help="`layers: [...]`", fixes=fixes)
        return None
    unknown = unknown_keys(scope, node, ("params", "layers"), f"the block `{name}`")
    layers = node.get("layers")
    if layers is None or not layers.is_list:
        if not unknown.explain("layers"):
            scope.error("missing-key", f"the block `{name}` needs a list of `layers`", span, help="`layers: [...]`")
        return None
    params = node.get("params")
    if params is not None and not params.is_mapping:
        message = "`params` of a block takes names with types or defaults"
        scope.error("wrong-type", message, params.span, fixes=_with_types(params))
        return None
    return Block(name, _read_block_params(scope, params) if params is not None else {}, node, span, scope)


def _with_types(node: YamlNode) -> list[Fix]:
    """Return the fix of a list of names: each with the type of sizes and channels."""
    items = [item.value for item in node.elements()]
    if not items or not all(isinstance(item, str) and is_param_name(item) for item in items):
        return []
    return (
        [replaced(node.span, f"{{{', '.join(f'{name}: int' for name in items)}}}")] if node.span.text[0] == "[" else []
    )


def _read_block_params(scope: Scope, node: YamlNode) -> dict[str, Param]:
    params: dict[str, Param] = {}
    for name, item in node.items():
        span = node.keys[name]
        if not is_param_name(name) or name in COMMON_KEYS:
            remedy = f"every use of a block takes a `{name}`" if name in COMMON_KEYS else param_rule(name)
            edit = without_key(node, name)
            fixes = [Fix(f"leave out {quoted(name)}", (edit,))] if edit is not None else []
            scope.error("invalid-name", f"a parameter cannot be called {quoted(name)}", span, help=remedy, fixes=fixes)
            params[name.split("-")[0]] = Param(None, UNRESOLVED, span)
            continue
        if isinstance(item.value, str) and item.value in TYPES:
            params[name] = Param(item.value, _REQUIRED, span)
            continue
        if isinstance(item.value, str) and item.value in _OTHER_TYPES and (type_ := suggest_type(item.value)):
            message, remedy = f"no type is called {quoted(item.value)}", f"did you mean `{type_}`?"
            fixes = [replaced(item.span, type_, certain=True, said=True)]
            scope.error("wrong-type", message, item.span, help=remedy, fixes=fixes)
            params[name] = Param(None, UNRESOLVED, span)
            continue
        is_late = any(map(mentions_arriving, item.texts()))
        try:
            default = scope.replace(arriving=arriving(None) if is_late else None).value(item)
        except InvalidValue:
            default = item if is_late else UNRESOLVED
        if default is None:
            message = f"`{name}` takes a type ({', '.join(TYPES)}) or a default, not {describe(default)}"
            scope.error("wrong-type", message, item.span)
            default = UNRESOLVED
        params[name] = Param(_type_of_default(default), default, span)
    return params


def _type_of_default(default: Any) -> str | None:
    """Return the type of a parameter with a default: a whole number may be the size along every axis."""
    type_ = type_of(default)
    return "size" if type_ == "int" else type_


def arguments(block: Block, entry: Entry) -> dict[str, Any]:
    """Return the values of a block's parameters at one use; UNRESOLVED for those that are not valid."""
    scope, config = entry.scope, entry.config
    given: dict[str, YamlNode] = {}
    unknown = NO_UNKNOWN_KEYS
    if config is not None and config.is_mapping:
        required = [key for key, param in block.params.items() if param.required]
        undeclared = block.undeclared(config)  # whose references are reported
        known = (*block.params, *COMMON_KEYS, *undeclared)
        unknown = unknown_keys(scope, config, known, f"`{block.name}`", required, names_one=True)
        given = {key: item for key, item in config.items() if key in block.params}
    elif config is not None and config.value is not None:
        if (by_name := _by_position(block, config)) is not None:
            written = f"{{{', '.join(f'{key}: {item.span.text}' for key, item in by_name.items())}}}"
            fixes = [replaced(config.span, written, certain=True, said=True)]
            message = f"`{block.name}` takes its parameters by name"
            scope.error("wrong-type", message, config.span, help=f"`{block.name}: {written}`", fixes=fixes)
            given = by_name
        elif block.params:
            given = {next(iter(block.params)): config}
        else:
            message = f"`{block.name}` takes no value: it has no parameters"
            scope.error("wrong-type", message, config.span, "", Label(block.span, "declared here"))
    missing = [key for key, param in block.params.items() if param.required and key not in given]
    if missing and not unknown.explain(*missing):
        declared = [Label(block.params[key].span, "declared here") for key in missing]
        remedy = example(block.name, missing, config)
        message = f"`{block.name}` needs {names(missing)}"
        scope.error("missing-key", message, entry.span, "", *declared, help=remedy, fixes=_handed_on(entry, missing))
    return {key: _argument(block, key, param, given.get(key), scope) for key, param in block.params.items()}


def _handed_on(entry: Entry, missing: list[str]) -> list[Fix]:
    """Return the fix that hands on a parameter which is called as the one that is missing."""
    if len(missing) > 1 or missing[0] not in entry.scope.values:
        return []
    edit = with_field(entry, None, missing[0], f"${missing[0]}")
    return [Fix(f"set `{missing[0]}: ${missing[0]}` where `{entry.kind}` is used", (edit,))] if edit else []


def _by_position(block: Block, config: YamlNode) -> dict[str, YamlNode] | None:
    """Return the arguments that a list gives by position; None where it may be the value of the first parameter."""
    items = config.elements()
    first = next(iter(block.params.values()), None)
    if len(items) < 2 or first is None or first.type in (None, "list", "size") or len(items) > len(block.params):
        return None
    return dict(zip(block.params, items, strict=False)) if "\n" not in config.span.text else None


def _argument(block: Block, key: str, param: Param, item: YamlNode | None, scope: Scope) -> Any:
    """Return the value of one parameter of a block."""
    if item is None and isinstance(param.default, YamlNode):
        item, scope = param.default, block.scope.replace(arriving=scope.arriving, stack=scope.stack)
    if item is None:
        return UNRESOLVED if param.required else param.default
    try:
        value = scope.value(item)
    except InvalidValue:
        return UNRESOLVED
    if has_type(value, param.type):
        return value
    remedy = ""
    if isinstance(param.default, str) and (type_ := suggest_type(param.default)):
        remedy = f"`{key}: {type_}` declares a parameter without a default"
    declared = Label(param.span, "declared here")
    message = f"`{key}` of `{block.name}` takes {with_article(param.type)}, not {describe(value)}"
    written = item.value if isinstance(item.value, str) else value
    fixes = for_value(written, item.span, scope.values)
    if isinstance(written, str):
        fixes += whole_division(written, value, item.span)
    scope.error("wrong-type", message, item.span, "", declared, help=remedy, fixes=fixes)
    return UNRESOLVED
