"""The top level of a spec: its keys, the spec that it extends, its parameters and its blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from cnnspec.diagnostics import Label, Source, Span, SpecError, nearest
from cnnspec.layers.conv import Scheme
from cnnspec.layers.fields import says
from cnnspec.reading import Faulty, Findings, Scope, read_choice, read_model, unknown_keys
from cnnspec.settings import Augment, Choice, Expect, Input, Train
from cnnspec.source import Node, parse

KEYS = (
    "cnnspec", "name", "extends", "input", "classes", "init", "params", "blocks", "layers", "expect", "examples",
    "train",
)  # fmt: skip
VERSION = 1
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
MAX_EXTENDS = 10

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


@dataclass
class Document:
    """What the top level says; `layers` is still as text."""

    name: str
    scope: Scope
    input: Input | None = None
    input_span: Span | None = None
    layers: Node | None = None
    blocks: dict[str, Block] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    classes_span: Span | None = None
    init: str = "torch"
    train: Train | None = None
    expect: Expect | None = None
    expect_node: Node | None = None
    examples: Node | None = None


Opener = Callable[[str, Source], Source]


def read(source: Source, findings: Findings, overrides: Mapping[str, Any], opener: Opener) -> Document | None:
    """The top level of a spec; None where the text has none."""
    scope = Scope(findings)
    chain = _chain(source, scope, opener)
    if not chain:
        return None
    values = _params(scope, chain, overrides)
    scope = scope.inside(values=values)
    spec = chain[0]
    document = Document(_name(scope, spec, source), scope)
    _layers_and_input(document, chain)
    document.blocks = _blocks(scope, chain)
    for key in ("classes", "init", "train"):
        for node in (level.get(key) for level in chain):
            if node is not None:
                _READERS[key](document, node)
                break
    if (expect := spec.get("expect")) is not None:
        document.expect_node = expect
        document.expect = read_model(Expect, scope, expect, "expect", spec.keys["expect"])
    document.examples = spec.get("examples")
    return document


def _chain(source: Source, scope: Scope, opener: Opener) -> list[Node]:
    """The spec and those that it extends, nearest first."""
    chain: list[Node] = []
    names = [source.name]
    while True:
        root, faults = parse(source)
        for fault in faults:
            scope.findings.add(fault, scope.frames)
        if root is None or root.value is None:
            if not faults:
                at = Span(source, 1, 1, 1, 1)
                scope.fault(
                    "empty-spec", f"`{source.name}` holds no spec", at, help="a spec has `input:` and `layers:`"
                )
            return []
        if not root.is_mapping:
            scope.fault("wrong-type", f"a spec is a mapping, not {says(root.plain())}", root.span, help=_START)
            return []
        unclear = unknown_keys(scope, root, KEYS, "the spec")
        _version(scope, root)
        chain.append(root)
        base = root.get("extends")
        if base is None:
            return chain
        if "layers" in root.keys:
            where = Label(root.keys["extends"], "this brings its own")
            scope.fault("not-allowed-here", "a spec that extends another has no layers", root.keys["layers"], "", where)
        if not isinstance(base.value, str):
            scope.fault("wrong-type", f"`extends` takes the name of a spec, not {says(base.plain())}", base.span)
            return []
        try:
            source = opener(base.value, source)
        except SpecError as error:
            scope.fault("unreadable-file", error.diagnostics[0].message, base.span, help=error.diagnostics[0].help)
            return []
        if source.name in names or len(names) > MAX_EXTENDS:
            circle = " → ".join([*names, source.name])
            scope.fault("endless-extends", "the specs extend each other without end", base.span, notes=[circle])
            return []
        names.append(source.name)
        scope = scope.inside(frames=(Label(base.span, "extended here"), *scope.frames))


_START = "begin with `cnnspec: 1`, `input: [1, 28, 28]` and `layers:`"


def _version(scope: Scope, root: Node) -> None:
    node = root.get("cnnspec")
    if node is not None and (node.value != VERSION or isinstance(node.value, bool)):
        message = f"format version {says(node.plain())}; this cnnspec reads version {VERSION}"
        scope.fault("wrong-version", message, node.span, help=f"`cnnspec: {VERSION}`, or a newer cnnspec")


def _name(scope: Scope, root: Node, source: Source) -> str:
    node = root.get("name")
    if node is None:
        return re.split(r"[/\\]", source.name)[-1].removesuffix(".yaml").removesuffix(".yml")
    if isinstance(node.value, bool | None) or not isinstance(node.value, str | int | float):
        scope.fault("wrong-type", f"`name` takes text, not {says(node.plain())}", node.span)
        return ""
    return str(node.value)


def _layers_and_input(document: Document, chain: list[Node]) -> None:
    spec, scope = chain[0], document.scope
    for key in ("input", "layers"):
        holder = next((level for level in chain if key in level.keys), None)
        if holder is None:
            at = spec.span._replace(end_line=spec.span.line, end_column=spec.span.column)
            scope.fault("missing-key", f"the spec has no `{key}`", at, help=_MISSING[key])
            continue
        node = holder.get(key)
        assert node is not None
        if key == "input":
            document.input_span = holder.keys[key]
            document.input = _input(scope, node, holder.keys[key])
        elif not node.is_list or not node.elements():
            shown = "nothing" if node.value in (None, ()) else says(node.plain())
            scope.fault("wrong-type", f"`layers` takes a list of layers, not {shown}", holder.keys[key])
        else:
            document.layers = node


_MISSING = {
    "input": "`input: [1, 28, 28]`: channels, height, width; the batch is never written",
    "layers": "`layers:` and a list of layers",
}


def _input(scope: Scope, node: Node, place: Span) -> Input | None:
    found = read_model(Input, scope, node, "input", place, main="shape")
    for key in ("mean", "std"):
        given = getattr(found, key, ())
        if found and len(given) not in (1, found.shape[0]):
            message = f"`{key}` has {len(given)} numbers for {found.shape[0]} channels"
            scope.fault("invalid-value", message, node.at((key,)), help="one number, or one for each channel")
            return None
    if found and 0 in found.std:
        scope.fault("invalid-value", "`std` takes no zero: it divides", node.at(("std",)))
        return None
    return found


def _classes(document: Document, node: Node) -> None:
    scope = document.scope
    document.classes_span = node.span
    if not node.is_list:
        scope.fault("wrong-type", f"`classes` takes a list of names, not {says(node.plain())}", node.span)
        return
    names = []
    for item in node.elements():
        if isinstance(item.value, tuple | dict | bool | None):
            scope.fault("wrong-type", f"a class is named by text, not by {says(item.plain())}", item.span)
        names.append(str(item.value))
    document.classes = tuple(names)


def _init(document: Document, node: Node) -> None:
    schemes = get_args(Scheme)
    if node.value in schemes:
        document.init = str(node.value)
        return
    near = nearest(str(node.value), schemes)
    remedy = f"did you mean `{near}`?" if near else ""
    message = f"`init` takes {', '.join(schemes)}, not {says(node.plain())}"
    document.scope.fault("invalid-value", message, node.span, help=remedy)


def _train(document: Document, node: Node) -> None:
    document.train = read_train(document.scope, node)


def train_settings(node: Node) -> Train:
    """The training settings of a mapping that stands alone; SpecError where it is at fault."""
    findings = Findings()
    train = read_train(Scope(findings), node)
    if train is None:
        raise SpecError(findings.found)
    return train


def read_train(scope: Scope, node: Node) -> Train | None:
    """The training settings, None where something is wrong with them."""
    given: dict[str, Any] = {}
    whole = True
    for key, value in node.items():
        part: Choice | Augment | None
        if key in Train.choices:
            part = read_choice(scope, Train.choices[key], value, key)
        elif key == "augment":
            part = read_model(Augment, scope, value, key, node.keys[key])
        else:
            continue
        whole = whole and part is not None
        given[key] = part if part is not None else Train.model_fields[key].default
    plain = {k: v for k, v in node.items() if k not in given}
    rest = Node(plain, node.span, node.keys) if node.is_mapping else node
    train = read_model(Train, scope, rest, "train", node.span, given=given)
    return train if whole else None


_READERS: dict[str, Callable[[Document, Node], None]] = {"classes": _classes, "init": _init, "train": _train}


# Parameters


def _params(scope: Scope, chain: list[Node], overrides: Mapping[str, Any]) -> dict[str, Any]:
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
                scope.fault("invalid-name", f"`{name}` cannot be written as `${name}`", node.keys[name], help=_NAMES)
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
                value = 1
            if name in overrides:
                value = _override(scope, name, value, overrides[name], node.keys[name])
            elif name in known:
                _same_type(scope, name, known[name], value, item.span)
            values[name] = value
    for name in overrides:
        if name not in values:
            near = nearest(name, values)
            remedy = f"did you mean `{near}`?" if near else f"it has {_listed(values)}" if values else ""
            at = chain[0].keys.get("params") or next(iter(chain[0].keys.values()))
            scope.fault("unknown-param", f"--set: the spec has no parameter `{name}`", at, help=remedy)
    return values


_NAMES = "letters, digits and _, and no digit first"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def type_name(value: Any) -> str:
    """The type of a parameter's value, by the name that a block's declaration has for it."""
    return next((name for name, types in _TYPES.items() if type(value) in types), "nothing")


def is_of(value: Any, type_: str) -> bool:
    """Whether a value is of a type; a whole number will do as a float."""
    return type(value) in _TYPES[type_]


def _override(scope: Scope, name: str, default: Any, value: Any, place: Span) -> Any:
    declared = type_name(default)
    if declared == "nothing" or is_of(value, declared):
        return value
    message = f"--set {name}: takes {declared}, not {says(value)}"
    scope.fault("wrong-type", message, place, f"is {says(default)}")
    return default


def _same_type(scope: Scope, name: str, default: Any, value: Any, place: Span) -> None:
    declared = type_name(default)
    if declared != "nothing" and not is_of(value, declared):
        message = f"the extended spec's `{name}` is {declared}, not {says(value)}"
        scope.fault("wrong-type", message, place)


# Blocks


def _blocks(scope: Scope, chain: list[Node]) -> dict[str, Block]:
    found: dict[str, Block] = {}
    for level in chain:
        node = level.get("blocks")
        if node is None:
            continue
        if not node.is_mapping:
            scope.fault("wrong-type", f"`blocks` takes names and definitions, not {says(node.plain())}", node.span)
            continue
        for name, item in node.items():
            block = _block(scope, name, item, node.keys[name])
            if block and name not in found:
                found[name] = block
    return found


def _block(scope: Scope, name: str, node: Node, place: Span) -> Block | None:
    from cnnspec.layers import find

    if not NAME.fullmatch(name) or name in ("repeat", "from", "input"):
        scope.fault("invalid-name", f"a block cannot be called `{name}`", place, help=_NAMES)
        return None
    if find(name) is not None:
        scope.fault("duplicate-name", f"`{name}` is the kind of a layer", place, help="call the block otherwise")
        return None
    if not node.is_mapping:
        scope.fault("wrong-type", f"a block is a mapping with `layers`, not {says(node.plain())}", place)
        return None
    unknown_keys(scope, node, ("params", "layers"), name)
    layers = node.get("layers")
    if layers is None or not layers.is_list:
        scope.fault("missing-key", f"the block `{name}` has no list of `layers`", place)
        return None
    params: dict[str, Param] = {}
    declared = node.get("params")
    if declared is not None and not declared.is_mapping:
        scope.fault("wrong-type", "`params` of a block takes names with types or defaults", declared.span)
        return None
    for param, item in declared.items() if declared else ():
        where = declared.keys[param] if declared else place
        if not NAME.fullmatch(param) or "-" in param or param in ("name", "expect"):
            scope.fault("invalid-name", f"a parameter cannot be called `{param}`", where, help=_NAMES)
            continue
        if isinstance(item.value, str) and item.value in _TYPES:
            params[param] = Param(item.value, _REQUIRED, where)
            continue
        try:
            default = scope.value(item)
        except Faulty:
            default = 1
        if default is None or isinstance(default, dict):
            message = f"`{param}` takes a type ({', '.join(_TYPES)}) or a default, not {says(default)}"
            scope.fault("wrong-type", message, item.span)
            continue
        params[param] = Param(type_name(default), default, where)
    return Block(name, params, layers, place)
