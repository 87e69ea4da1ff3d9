"""The declarations of a spec: its top-level keys, the spec that it extends, its parameters and its blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from cnnspec import bundled
from cnnspec.diagnostics import Label, Source, Span, SpecError
from cnnspec.graph.settings import Expect
from cnnspec.graph.training import Train
from cnnspec.language.blocks import Block, read_blocks
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.entry import Entry
from cnnspec.language.expressions import mentions_arriving
from cnnspec.language.fields import NO_UNKNOWN_KEYS, UnknownKeys, read_model, suggestion, unknown_keys
from cnnspec.language.inputs import DeclaredInput, read_inputs
from cnnspec.language.params import read_params
from cnnspec.language.repairs import for_name, for_word
from cnnspec.language.scope import Scope
from cnnspec.language.train import read_train
from cnnspec.language.yaml_tree import YamlNode, parse
from cnnspec.layers import known_kinds
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.conv import Scheme
from cnnspec.wording import describe, names, one_of, quoted

KEYS = (
    "cnnspec", "name", "extends", "input", "inputs", "outputs", "classes", "init", "params", "blocks", "layers",
    "expect", "examples", "train", "lint",
)  # fmt: skip
VERSION = 1
MAX_EXTENDS = 10


@dataclass
class Document:
    """The declarations of a spec; `layers` and `examples` are not read yet."""

    name: str
    scope: Scope
    inputs: dict[str, DeclaredInput] = field(default_factory=dict)
    """The inputs by name; none where their declaration is missing or invalid as a whole."""
    outputs: YamlNode | None = None
    """The names of the layers that are outputs; None where the last layer is the output."""
    layers: YamlNode | None = None
    stack: tuple[Label, ...] = ()
    """The expansion stack of the layers: where they are another spec's, the `extends` that brings them in."""
    blocks: dict[str, Block | None] = field(default_factory=dict)
    """The blocks by name; None for an invalid one."""
    classes: YamlNode | None = None
    classes_span: Span | None = None
    init: str = DEFAULT_SCHEME
    train: Train | None = None
    train_node: YamlNode | None = None
    expect: Expect | None = None
    expect_node: YamlNode | None = None
    examples: YamlNode | None = None
    levels: tuple[YamlNode, ...] = ()
    """The top levels of the spec and those that it extends, nearest first."""
    lint: YamlNode | None = None
    """What the spec says about lints."""
    uses_arriving: bool = False
    """Whether a text may refer to `$in`."""

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """What an entry of a list may be."""
        return (*known_kinds(), *self.blocks, "repeat")


Opener = Callable[[str, Source], Source]


def read_document(
    source: Source, collector: DiagnosticCollector, overrides: Mapping[str, Any], opener: Opener
) -> Document | None:
    """Return the declarations of a spec; None where the text holds none."""
    scope = Scope(collector)
    chain, unknown = _inheritance_chain(source, scope, opener)
    if not chain:
        return None
    hidden = {"params": "unknown-param", "blocks": "unknown-kind", "outputs": "unknown-output"}
    collector.suppressed_codes |= {code for key, code in hidden.items() if key in unknown.likely}
    values = read_params(scope, chain, overrides)
    declared = {name: item for level in reversed(chain) for name, item in _items(level.get("params"))}
    scope = scope.replace(values=values, declared=declared)
    spec = chain[0]
    document = Document(_name(scope, spec, source), scope, levels=tuple(chain))
    document.uses_arriving = any(mentions_arriving(level.span.source.text) for level in chain)
    _layers_and_input(document, chain, unknown)
    document.blocks = read_blocks(scope, chain)
    for key, reader in _READERS.items():
        level = next((level for level in chain if key in level.keys), None)
        if level is not None:
            reader(document, _child(level, key), level.keys[key])
    if (expect := spec.get("expect")) is not None and _holds_settings(scope, expect, "expect"):
        document.expect_node = expect
        document.expect = read_model(Expect, Entry("expect", spec.keys["expect"], expect, scope))
    document.examples = spec.get("examples")
    return document


def _holds_settings(scope: Scope, node: YamlNode, key: str) -> bool:
    """Return whether a key has a value; report one that has none."""
    if node.value is None:
        scope.error("wrong-type", f"`{key}` takes settings by name, not nothing", node.span)
    return node.value is not None


def _items(node: YamlNode | None) -> Iterable[tuple[str, YamlNode]]:
    return node.items() if node is not None else ()


def _child(node: YamlNode, key: str) -> YamlNode:
    child = node.get(key)
    assert child is not None
    return child


_ALL_HIDDEN = UnknownKeys(frozenset({"input", "inputs", "layers", "params", "blocks"}))
"""Where a text of the chain cannot be read, any of these may be missing because of that."""


def _inheritance_chain(source: Source, scope: Scope, opener: Opener) -> tuple[list[YamlNode], UnknownKeys]:
    """Return the spec and those that it extends, nearest first, and their unknown keys."""
    chain: list[YamlNode] = []
    unknown = NO_UNKNOWN_KEYS
    names = [source.name]
    while True:
        root = _parse(source, scope)
        if root is None:
            return chain, _ALL_HIDDEN
        unknown |= unknown_keys(scope, root, KEYS, "the spec", whole=root)
        _version(scope, root)
        chain.append(root)
        base = root.get("extends")
        if base is None:
            return chain, unknown
        if "layers" in root.keys:
            where = Label(root.keys["extends"], "this brings its own")
            message, remedy = "a spec that extends another has no layers", "leave one of the two out"
            scope.error("not-allowed-here", message, root.keys["layers"], "", where, help=remedy)
        extended = _open_base(base, source, names, scope, opener)
        if extended is None:
            return chain, _ALL_HIDDEN
        source = extended
        names.append(source.name)
        scope = scope.replace(stack=(Label(base.span, "extended here"), *scope.stack))


def _parse(source: Source, scope: Scope) -> YamlNode | None:
    """Return the top level of a text; report an error and return None where it is no mapping."""
    root, errors = parse(source)
    for error in errors:
        scope.collector.add(error)
    if root is None or root.value is None:
        if not errors:
            start = Span(source, 1, 1, 1, 1)
            scope.error("empty-spec", f"{quoted(source.name)} holds no spec", start, help=_START)
        return None
    if not root.is_mapping:
        scope.error("wrong-type", f"a spec is a mapping, not {describe(root.plain())}", root.span, help=_START)
        return None
    return root


def _open_base(base: YamlNode, source: Source, names: list[str], scope: Scope, opener: Opener) -> Source | None:
    """Return the spec that `extends` names; report an error and return None where it cannot be extended."""
    if not isinstance(base.value, str):
        scope.error("wrong-type", f"`extends` takes the name of a spec, not {describe(base.plain())}", base.span)
        return None
    try:
        found = opener(base.value, source)
    except SpecError as error:
        fault = error.diagnostics[0]
        fixes = for_name(base.value.removesuffix(".yaml"), base.span, bundled.names())[1] if fault.help else []
        scope.error("unreadable-file", fault.message, base.span, help=fault.help, fixes=fixes)
        return None
    if found.name in names:
        circle = " → ".join([*names[names.index(found.name) :], found.name])
        scope.error("endless-extends", "the specs extend each other in a circle", base.span, circle)
        return None
    if len(names) > MAX_EXTENDS:
        message = f"more than {MAX_EXTENDS} specs extend one another"
        scope.error("endless-extends", message, base.span, " → ".join([*names, found.name]))
        return None
    return found


_START = "begin with `cnnspec: 1`, `input: [1, 28, 28]` and `layers:`"


def _version(scope: Scope, root: YamlNode) -> None:
    node = root.get("cnnspec")
    if node is not None and (node.value != VERSION or isinstance(node.value, bool)):
        message = f"`cnnspec` takes the format version, which is {VERSION}, not {describe(node.plain())}"
        newer = isinstance(node.value, int) and node.value > VERSION
        remedy = f"`cnnspec: {VERSION}`" + (", or a newer cnnspec to read the spec with" if newer else "")
        scope.error("wrong-version", message, node.span, help=remedy)


def _name(scope: Scope, root: YamlNode, source: Source) -> str:
    node = root.get("name")
    if node is None:
        return re.split(r"[/\\]", source.name)[-1].removesuffix(".yaml").removesuffix(".yml")
    if isinstance(node.value, bool | None) or not isinstance(node.value, str | int | float):
        scope.error("wrong-type", f"`name` takes text, not {describe(node.plain())}", node.span)
        return ""
    return str(node.value)


def _layers_and_input(document: Document, chain: list[YamlNode], unknown: UnknownKeys) -> None:
    scope = document.scope
    declared = {key for level in chain for key in level.keys}
    missing = [key for key in ("input", "layers") if key not in declared]
    if "inputs" in declared:
        missing = [key for key in missing if key != "input"]
    if missing and not unknown.explain(*missing, "extends", *(["inputs"] if "input" in missing else [])):
        first = next(iter(chain[0].keys.values()), chain[0].span)
        remedy = "\n".join(_MISSING[key] for key in missing)
        scope.error("missing-key", f"the spec needs {names(missing)}", first, help=remedy)
    if (holder := next((level for level in chain if {"input", "inputs"} & level.keys.keys()), None)) is not None:
        document.inputs = read_inputs(scope, holder)
    if (holder := next((level for level in chain if "layers" in level.keys), None)) is not None:
        node = _child(holder, "layers")
        if not node.is_list or not node.elements():
            shown = "an empty list" if node.value == () else describe(node.plain())
            message = f"`layers` takes a list of layers, not {shown}"
            remedy = "a network has at least one layer" if node.value == () else "begin each layer with `- `"
            from cnnspec.language.yaml_indentation import with_dashes

            fixes = [with_dashes(node.span)] if node.is_mapping and not node.span.text.startswith("{") else []
            scope.error("wrong-type", message, holder.keys["layers"], help=remedy, fixes=fixes)
        else:
            document.layers = node
            if holder is not chain[0]:
                document.stack = (_extension(scope, chain[0]),)


def _extension(scope: Scope, spec: YamlNode) -> Label:
    own = spec.get("params")
    values = ", ".join(f"{name} = {scope.values.get(name)}" for name in (own.keys if own else ()))
    return Label(spec.at(("extends",)), f"extended here, with {values}" if values else "extended here")


_MISSING = {
    "input": "`input: [1, 28, 28]`: channels, height, width; the batch is never written",
    "layers": "`layers:`, and a list of layers",
}


def _classes(document: Document, node: YamlNode, span: Span) -> None:
    document.classes, document.classes_span = node, span


def _outputs(document: Document, node: YamlNode, span: Span) -> None:
    document.outputs = node


def _init(document: Document, node: YamlNode, span: Span) -> None:
    schemes = get_args(Scheme)
    if node.value in schemes:
        document.init = str(node.value)
        return
    message = f"`init` takes {one_of(schemes)}, not {describe(node.plain())}"
    document.scope.error(
        "invalid-value",
        message,
        node.span,
        help=suggestion(node.value, schemes),
        fixes=for_word(node.value, node.span, schemes),
    )


def _train(document: Document, node: YamlNode, span: Span) -> None:
    if _holds_settings(document.scope, node, "train"):
        document.train, document.train_node = read_train(document.scope, node), node


def _lint(document: Document, node: YamlNode, span: Span) -> None:
    document.lint = node


_READERS: dict[str, Callable[[Document, YamlNode, Span], None]] = {
    "outputs": _outputs,
    "classes": _classes,
    "init": _init,
    "train": _train,
    "lint": _lint,
}
