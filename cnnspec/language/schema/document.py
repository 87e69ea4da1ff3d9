"""The JSON Schema of a whole spec: of any, or of one whose blocks and parameters are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from cnnspec.diagnostics import Source, SpecError, any_errors
from cnnspec.graph.settings import ExampleText, Expect, Input
from cnnspec.graph.training import TRANSFORMS, Train
from cnnspec.language.collector import DiagnosticCollector
from cnnspec.language.document import VERSION, Document, Opener, read_document
from cnnspec.language.expressions import ARRIVING, ARRIVING_SIZES
from cnnspec.language.inputs import SHORT_FORMS
from cnnspec.language.params import TYPES
from cnnspec.language.schema.entries import Definitions, configuration
from cnnspec.language.schema.layers import (
    Kinds,
    any_block_use,
    block_declarations,
    block_use,
    define_kinds,
    define_list,
)
from cnnspec.language.schema.values import (
    EXPRESSION,
    PARAM,
    TEXT,
    Schema,
    described,
    either,
    expression,
    fields_of,
    forms,
    listed,
    mapping,
    ref,
    with_references,
)
from cnnspec.language.yaml_tree import YamlNode, parse
from cnnspec.layers.conv import Scheme
from cnnspec.layers.geometry import AXES, CHANNELS
from cnnspec.layers.reference import headline

DIALECT = "http://json-schema.org/draft-07/schema#"


def schema(kinds: Kinds) -> Schema:
    """Return the JSON Schema that accepts every spec of these kinds of layers."""
    found = Definitions(forms(), expression=expression(), block_use=any_block_use())
    define_kinds(found, kinds)
    layers = define_list(found, "layers", kinds, None)
    only_kinds = define_list(found, "layers_without_blocks", kinds, {})
    whole = _document(found, kinds, layers, layers)
    # Without blocks, a kind that does not exist is no block.
    whole["if"] = {"required": ["blocks"]}
    whole["else"] = {"properties": {"layers": only_kinds}}
    return whole


def schema_of(source: Source, kinds: Kinds, opener: Opener) -> Schema:
    """Return the JSON Schema of one spec, which knows its blocks and its parameters by name.

    Raise SpecError where its declarations have errors.
    """
    collector = DiagnosticCollector(proposes_fixes=False)
    document = read_document(source, collector, {}, opener)
    if document is None or any_errors(collector.all()):
        raise SpecError(collector.all())
    root, _ = parse(source)
    assert root is not None
    return schema_of_document(document, root, kinds)


def schema_of_document(document: Document, root: YamlNode, kinds: Kinds) -> Schema:
    """Return the JSON Schema of a spec by its declarations and the top level of its text."""
    found = Definitions(forms(), expression=expression({*_names(document, root)}))
    define_kinds(found, kinds)
    uses = {name: block_use(block) for name, block in document.blocks.items() if block is not None}
    layers = define_list(found, "layers", kinds, uses)
    whole = _document(found, kinds, layers, layers)
    whole["title"] = f"cnnspec: {document.name}"
    return whole


def _names(document: Document, root: YamlNode) -> Iterator[str]:
    """Yield the names that stand for a value somewhere in a spec."""
    yield from (ARRIVING, *ARRIVING_SIZES, *document.scope.values)
    for block in document.blocks.values():
        yield from block.params if block is not None else ()
    yield from _repeated_names(root)


def _repeated_names(node: YamlNode) -> Iterator[str]:
    for key, item in node.items():
        if key == "each":
            yield from item.keys
        if key == "index" and isinstance(item.value, str):
            yield item.value
        yield from _repeated_names(item)
    for item in node.elements():
        yield from _repeated_names(item)


def _document(found: Definitions, kinds: Kinds, layers: Schema, in_blocks: Schema) -> Schema:
    found["input"] = _input()
    found["train"] = _train(found)
    properties: dict[str, Schema] = {
        "cnnspec": described({"const": VERSION}, "The version of the format."),
        "name": described({"type": ["string", "number"]}, "The name of the network; the file's name by default."),
        "extends": described(TEXT, "A spec that this one is, with other parameters: beside it, or bundled."),
        "input": described({"allOf": [ref("input")]}, "The shape of a sample: channels, height, width, no batch."),
        "inputs": described(_by_name(ref("input"), 1), "Inputs by name; the first is the current tensor at the start."),
        "outputs": described(
            either(listed(TEXT, 1), _by_name(TEXT, 1)), "The layers that are outputs; the last one by default."
        ),
        "classes": described(either(_classes(), _by_name(_classes())), "Names of classes, in the order of the output."),
        "init": described({"enum": list(get_args(Scheme))}, "The scheme of the initial weights."),
        "params": described(
            {**mapping({}, additionalProperties={}), "propertyNames": {"pattern": PARAM}},
            "Named values, used as `$name`; `--set name=value` overrides them.",
        ),
        "blocks": described(block_declarations(in_blocks, kinds, TYPES), "Lists of layers with parameters, by name."),
        "layers": described({"allOf": [layers], "minItems": 1}, "The layers, each reading the one before it."),
        "expect": described(mapping(fields_of(Expect)), headline(Expect)),
        "examples": described(listed(_example()), "Inputs and their outputs, which `cnnspec test` compares."),
        "train": described({"allOf": [ref("train")]}, headline(Train)),
        "lint": described(
            mapping({"ignore": described({"anyOf": [TEXT, listed(TEXT)]}, "Codes of warnings and notes.")}),
            "What the checker does not report.",
        ),
    }
    return {
        "$schema": DIALECT,
        "title": "cnnspec",
        "description": "A convolutional network as a spec.",
        **mapping(properties),
        "allOf": [
            {"not": {"required": ["input", "inputs"]}},
            {"not": {"required": ["extends", "layers"]}},
            {
                "if": {"not": {"required": ["extends"]}},
                "then": {"required": ["layers"], "anyOf": [{"required": ["input"]}, {"required": ["inputs"]}]},
            },
        ],
        "definitions": dict(sorted(found.items())),
    }


def _by_name(items: Schema, least: int = 0) -> Schema:
    return mapping({}, additionalProperties=items) | ({"minProperties": least} if least else {})


def _classes() -> Schema:
    return listed({"type": ["string", "number"]})


def _input() -> Schema:
    size = with_references({"type": "integer", "minimum": 1})
    short = [{"type": "array", "items": size, "minItems": n, "maxItems": n} for n in SHORT_FORMS]
    shape = described(either(*short, EXPRESSION), "[channels, height, width], or [features] of a vector.")
    fields = {name: field for name, field in fields_of(Input).items() if name != "shape"}
    named = [(CHANNELS, *axes) for axes in AXES.values()]
    by_axis = [mapping({**dict.fromkeys(axes, size), **fields}, axes) for axes in named]
    return either(*short, EXPRESSION, mapping({"shape": shape, **fields}, ["shape"]), *by_axis)


def _example() -> Schema:
    fields = fields_of(ExampleText)
    one_of: Callable[[str], Schema] = lambda key: {"oneOf": [{"required": [key]}, {"required": [f"{key}s"]}]}  # noqa: E731
    return described(mapping(fields, allOf=[one_of("input"), one_of("output")]), headline(ExampleText))


def _train(found: Definitions) -> Schema:
    replaced: dict[str, Any] = {key: found.choice(key, options) for key, options in Train.choices.items()}
    replaced["losses"] = _by_name(ref("loss"), 1)
    transforms = listed(ref("transform"), 1)
    found.choice("transform", TRANSFORMS, replaced={"transforms": transforms})
    kinds = {kind: ref(f"transform.{kind}") for kind in TRANSFORMS}
    in_mapping = {
        **kinds,
        "shift": either({"const": 0}, kinds["shift"]),
        "flip": either({"const": "none"}, kinds["flip"]),
    }
    replaced["augment"] = either(listed(ref("transform")), mapping(in_mapping), EXPRESSION)
    for key, (cls, main) in Train.parts.items():
        replaced[key] = configuration(cls, main)
    return described(mapping(fields_of(Train, replaced)), headline(Train))
