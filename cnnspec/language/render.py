"""Graph to text: the spec with its parameters, blocks, sugar and defaults expanded. It checks to the same graph."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from cnnspec.diagnostics import Source
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Node
from cnnspec.graph.settings import Choice, Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss
from cnnspec.language.arrange import Item, arrange, oddly_named
from cnnspec.language.inputs import SHORT_FORMS, by_name
from cnnspec.language.load import spec_of
from cnnspec.language.yaml_tree import resolve
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.geometry import Pads
from cnnspec.layers.input import INPUT


def render(spec: str | Path | Source | Spec, *, defaults: bool = True) -> str:
    """The spec's text; without `defaults`, only what differs from them."""
    spec = spec_of(spec)
    items = arrange(spec.graph)
    style = _Style(oddly_named(items), spec.graph.shares, defaults)
    return with_layers(spec, ["layers:", *_list(items, style, 1)])


def with_layers(spec: Spec, layers: Iterable[str]) -> str:
    """Return the text of a spec whose layers (and blocks) are these lines."""
    graph = spec.graph
    lines = ["cnnspec: 1", f"name: {flow(spec.name)}"]
    if graph.inputs == (INPUT,):
        lines.append(f"input: {flow(_input(spec.input))}")
    else:
        lines += ["inputs:", *(f"  {name}: {flow(_input(given))}" for name, given in spec.inputs.items())]
    if graph.outputs != (graph.nodes[-1].name,) or graph.aliases:
        by_name = {name: node.name for name, node in graph.output_nodes.items()}
        lines.append(f"outputs: {flow(by_name if graph.aliases else list(by_name))}")
    if len(graph.outputs) > 1 and spec.classes_of:
        lines += ["classes:", *(f"  {name}: {flow(list(names))}" for name, names in spec.classes_of.items())]
    elif spec.classes_of:
        lines.append(f"classes: {flow(list(spec.classes))}")
    if spec.init != DEFAULT_SCHEME:
        lines.append(f"init: {spec.init}")
    lines += layers
    shapes = {name: list(node.shape) for name, node in graph.output_nodes.items()}
    totals = {"parameters": trainable(graph.nodes), "macs": macs(graph.nodes), **_one_or_all("output", shapes)}
    lines.append(f"expect: {flow(totals)}")
    if spec.examples:
        lines.append("examples:")
    for example in spec.examples:
        lines.append(f"  - name: {flow(example.name)}")
        for key, names, numbers in (
            ("input", graph.inputs, example.inputs),
            ("output", graph.output_names, example.outputs),
        ):
            nested = {name: value.nested() for name, value in numbers.items()}
            ((written, value),) = _one_or_all(key, nested, len(names)).items()
            lines.append(f"    {written}: {flow(value)}")
        lines.append(f"    tolerance: {flow(example.tolerance)}")
    if spec.train is not None:
        lines.append("train:")
        for name in type(spec.train).model_fields:
            value = getattr(spec.train, name)
            if value not in (None, {}, ()):
                lines.append(f"  {name}: {flow(_plain(value))}")
    if spec.ignored:
        lines.append(f"lint: {{ignore: {flow(spec.ignored)}}}")
    return "\n".join(lines) + "\n"


def _one_or_all(key: str, by_name: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    """Return {key: value} for a network that has one of them, {keys: values by name} for any other."""
    if (count or len(by_name)) == 1:
        return {key: next(iter(by_name.values()))}
    return {f"{key}s": by_name}


def _input(given: Input) -> Any:
    values = given.model_dump(exclude_defaults=True, exclude={"shape"})
    if len(given.shape) in SHORT_FORMS:
        return {"shape": given.shape, **values} if values else given.shape
    return {**by_name(given.shape), **values}


def _plain(value: Any) -> Any:
    if isinstance(value, Loss):
        return {value.kind: value.model_dump(exclude={"weight"} if value.weight == 1 else None)}
    if isinstance(value, Choice):
        return {value.kind: value.model_dump()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.model_dump() if isinstance(value, BaseModel) else value


class _Style(NamedTuple):
    """The nodes whose names are written, those that share weights (and with which), and whether defaults are."""

    named: set[str]
    shares: Mapping[str, str]
    defaults: bool


def _list(items: Iterable[Item | str], style: _Style, level: int) -> list[str]:
    indent = "  " * level
    lines: list[str] = []
    for item in items:
        if isinstance(item, str):
            lines.append(f"{indent}- from: {item}")
            continue
        node = item.node
        fields = fields_of(node, style.named, style.shares, defaults=style.defaults)
        if not item.branches:
            lines.append(f"{indent}- {node.kind}: {flow(fields)}" if fields else f"{indent}- {node.kind}")
            continue
        lines.append(f"{indent}- {node.kind}:")
        lines += [f"{indent}    {key}: {flow(value)}" for key, value in fields.items()]
        for key, branch in item.branches.items():
            inner = _list(branch, style, level + 3)
            if not inner:
                lines.append(f"{indent}    {key}: []")
            elif len(branch) == 1 and isinstance(branch[0], str):
                lines.append(f"{indent}    {key}: [from: {branch[0]}]")
            else:
                lines += [f"{indent}    {key}:", *inner]
    return lines


def fields_of(node: Node, named: Container[str], shares: Mapping[str, str], *, defaults: bool) -> dict[str, Any]:
    """Return the fields of a layer as a spec writes them: its name if it is `named`, and with whom it shares."""
    values = node.layer.model_dump(exclude_defaults=not defaults, exclude_none=True)
    fields = {"name": node.name} if node.name in named else {}
    fields |= {name: values[name] for name in node.layer.field_names() if name in values}
    return fields | ({"share": shares[node.name]} if node.name in shares else {})


def flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple) and not isinstance(value, Pads):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(int(value)) + ".0" if value.is_integer() and abs(value) < 1e15 else repr(value)
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Whether a text may stand without quotes, and stays that text."""
    allowed = all(ch.isalnum() or ch in " _-./" for ch in text)
    return allowed and text[:1].isalpha() and text == text.strip() and isinstance(resolve(text), str)
