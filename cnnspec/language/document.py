"""The top level of a spec: its keys, the spec that it extends, its parameters and its blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from cnnspec.diagnostics import Label, Source, Span, SpecError
from cnnspec.graph.settings import Expect, Input
from cnnspec.graph.training import Train
from cnnspec.language.blocks import Block, read_blocks
from cnnspec.language.collector import Findings
from cnnspec.language.fields import meant, read_model, unknown_keys
from cnnspec.language.params import read_params
from cnnspec.language.scope import Scope
from cnnspec.language.train import read_train
from cnnspec.language.yaml_tree import YamlNode, parse
from cnnspec.layers.conv import Scheme
from cnnspec.wording import names, one_of, says

KEYS = (
    "cnnspec", "name", "extends", "input", "classes", "init", "params", "blocks", "layers", "expect", "examples",
    "train",
)  # fmt: skip
VERSION = 1
MAX_EXTENDS = 10


@dataclass
class Document:
    """What the top level says; `layers` is still as text."""

    name: str
    scope: Scope
    input: Input | None = None
    input_span: Span | None = None
    layers: YamlNode | None = None
    frames: tuple[Label, ...] = ()
    """How one came to the layers, where they stand in a spec that this one extends."""
    blocks: dict[str, Block | None] = field(default_factory=dict)
    """The blocks by name; None where one is at fault."""
    classes: tuple[str, ...] = ()
    classes_span: Span | None = None
    init: str = "torch"
    train: Train | None = None
    expect: Expect | None = None
    expect_node: YamlNode | None = None
    examples: YamlNode | None = None


Opener = Callable[[str, Source], Source]


def read(source: Source, findings: Findings, overrides: Mapping[str, Any], opener: Opener) -> Document | None:
    """The top level of a spec; None where the text has none."""
    scope = Scope(findings)
    chain, lost = _chain(source, scope, opener)
    if not chain:
        return None
    findings.excused |= {code for key, code in (("params", "unknown-param"), ("blocks", "unknown-kind")) if key in lost}
    values = read_params(scope, chain, overrides)
    scope = scope.inside(values=values)
    spec = chain[0]
    document = Document(_name(scope, spec, source), scope)
    _layers_and_input(document, chain, lost)
    document.blocks = read_blocks(scope, chain)
    for key, reader in _READERS.items():
        level = next((level for level in chain if key in level.keys), None)
        if level is not None:
            reader(document, _child(level, key), level.keys[key])
    if (expect := spec.get("expect")) is not None:
        document.expect_node = expect
        document.expect = read_model(Expect, scope, expect, "expect", spec.keys["expect"])
    document.examples = spec.get("examples")
    return document


def _child(node: YamlNode, key: str) -> YamlNode:
    child = node.get(key)
    assert child is not None
    return child


def _chain(source: Source, scope: Scope, opener: Opener) -> tuple[list[YamlNode], set[str]]:
    """The spec and those that it extends, nearest first; and the keys that a fault hides."""
    chain: list[YamlNode] = []
    lost: set[str] = set()
    names = [source.name]
    everything = {"input", "layers", "params", "blocks"}
    while True:
        root, faults = parse(source)
        for fault in faults:
            scope.findings.add(fault)
        if root is None or root.value is None:
            if not faults:
                at = Span(source, 1, 1, 1, 1)
                scope.fault("empty-spec", f"`{source.name}` holds no spec", at, help=_START)
            return chain, everything
        if not root.is_mapping:
            scope.fault("wrong-type", f"a spec is a mapping, not {says(root.plain())}", root.span, help=_START)
            return chain, everything
        lost |= unknown_keys(scope, root, KEYS, "the spec")
        _version(scope, root)
        chain.append(root)
        base = root.get("extends")
        if base is None:
            return chain, lost
        if "layers" in root.keys:
            where = Label(root.keys["extends"], "this brings its own")
            message, remedy = "a spec that extends another has no layers", "leave one of the two out"
            scope.fault("not-allowed-here", message, root.keys["layers"], "", where, help=remedy)
        if not isinstance(base.value, str):
            scope.fault("wrong-type", f"`extends` takes the name of a spec, not {says(base.plain())}", base.span)
            return chain, everything
        try:
            source = opener(base.value, source)
        except SpecError as error:
            scope.fault("unreadable-file", error.diagnostics[0].message, base.span, help=error.diagnostics[0].help)
            return chain, everything
        if source.name in names:
            circle = " → ".join([*names[names.index(source.name) :], source.name])
            scope.fault("endless-extends", "the specs extend each other in a circle", base.span, circle)
            return chain, everything
        if len(names) > MAX_EXTENDS:
            message = f"more than {MAX_EXTENDS} specs extend one another"
            scope.fault("endless-extends", message, base.span, " → ".join([*names, source.name]))
            return chain, everything
        names.append(source.name)
        scope = scope.inside(frames=(Label(base.span, "extended here"), *scope.frames))


_START = "begin with `cnnspec: 1`, `input: [1, 28, 28]` and `layers:`"


def _version(scope: Scope, root: YamlNode) -> None:
    node = root.get("cnnspec")
    if node is not None and (node.value != VERSION or isinstance(node.value, bool)):
        message = f"`cnnspec` takes the format version, which is {VERSION}, not {says(node.plain())}"
        newer = isinstance(node.value, int) and node.value > VERSION
        remedy = f"`cnnspec: {VERSION}`" + (", or a newer cnnspec to read the spec with" if newer else "")
        scope.fault("wrong-version", message, node.span, help=remedy)


def _name(scope: Scope, root: YamlNode, source: Source) -> str:
    node = root.get("name")
    if node is None:
        return re.split(r"[/\\]", source.name)[-1].removesuffix(".yaml").removesuffix(".yml")
    if isinstance(node.value, bool | None) or not isinstance(node.value, str | int | float):
        scope.fault("wrong-type", f"`name` takes text, not {says(node.plain())}", node.span)
        return ""
    return str(node.value)


def _layers_and_input(document: Document, chain: list[YamlNode], lost: set[str]) -> None:
    scope = document.scope
    missing = [key for key in ("input", "layers") if not any(key in level.keys for level in chain)]
    if missing and not lost & {*missing, ""}:
        first = next(iter(chain[0].keys.values()), chain[0].span)
        remedy = "\n".join(_MISSING[key] for key in missing)
        scope.fault("missing-key", f"the spec needs {names(missing)}", first, help=remedy)
    for key in ("input", "layers"):
        holder = next((level for level in chain if key in level.keys), None)
        if holder is None:
            continue
        node = _child(holder, key)
        if key == "input":
            document.input_span = holder.keys[key]
            document.input = _input(scope, node, holder.keys[key])
        elif not node.is_list or not node.elements():
            shown = "an empty list" if node.value == () else says(node.plain())
            message = f"`layers` takes a list of layers, not {shown}"
            remedy = "a network has at least one layer" if node.value == () else "begin each layer with `- `"
            scope.fault("wrong-type", message, holder.keys[key], help=remedy)
        else:
            document.layers = node
            if holder is not chain[0]:
                document.frames = (_extension(scope, chain[0]),)


def _extension(scope: Scope, spec: YamlNode) -> Label:
    own = spec.get("params")
    values = ", ".join(f"{name} = {scope.values.get(name)}" for name in (own.keys if own else ()))
    return Label(spec.at(("extends",)), f"extended here, with {values}" if values else "extended here")


_MISSING = {
    "input": "`input: [1, 28, 28]`: channels, height, width; the batch is never written",
    "layers": "`layers:`, and a list of layers",
}


def _input(scope: Scope, node: YamlNode, place: Span) -> Input | None:
    found = read_model(Input, scope, node, "input", place, main="shape")
    if found is None:
        return _shape_alone(node)
    for key in ("mean", "std"):
        given = getattr(found, key)
        if len(given) not in (1, found.shape[0]):
            message = f"`{key}` has {len(given)} numbers for {found.shape[0]} channels"
            scope.fault("invalid-value", message, node.at((key,)), help="one number, or one for each channel")
    if 0 in found.std:
        scope.fault("invalid-value", "`std` takes no zero: it divides", node.at(("std",)))
    return found


def _shape_alone(node: YamlNode) -> Input | None:
    """The shape of an input that is otherwise at fault, so that the layers can be checked."""
    try:
        return Input(shape=_child(node, "shape").plain())
    except (AssertionError, ValidationError):
        return None


def _classes(document: Document, node: YamlNode, place: Span) -> None:
    scope = document.scope
    document.classes_span = place
    if not node.is_list:
        scope.fault("wrong-type", f"`classes` takes a list of names, not {says(node.plain())}", node.span)
        return
    names = []
    for item in node.elements():
        if isinstance(item.value, tuple | dict | bool | None):
            remedy = "quote it" if isinstance(item.value, bool) else ""
            scope.fault("wrong-type", f"a class is named by text, not {says(item.plain())}", item.span, help=remedy)
        names.append(str(item.value))
    document.classes = tuple(names)


def _init(document: Document, node: YamlNode, place: Span) -> None:
    schemes = get_args(Scheme)
    if node.value in schemes:
        document.init = str(node.value)
        return
    message = f"`init` takes {one_of(schemes)}, not {says(node.plain())}"
    document.scope.fault("invalid-value", message, node.span, help=meant(node.value, schemes))


def _train(document: Document, node: YamlNode, place: Span) -> None:
    document.train = read_train(document.scope, node)


_READERS: dict[str, Callable[[Document, YamlNode, Span], None]] = {"classes": _classes, "init": _init, "train": _train}
