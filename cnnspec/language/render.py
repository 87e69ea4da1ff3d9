"""Graph to text: the spec with its parameters, blocks, sugar and defaults expanded. It checks to the same graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cnnspec.diagnostics import Source
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.settings import Choice, Input
from cnnspec.graph.spec import Spec
from cnnspec.language.load import spec_of
from cnnspec.language.yaml_tree import resolve
from cnnspec.layers.geometry import Pads
from cnnspec.layers.input import INPUT


@dataclass(slots=True)
class Item:
    """A layer of a list: what it reads where it stands, and for a merge its branches."""

    node: Node
    reads: str
    branches: dict[str, list[Any]] = field(default_factory=dict)


def render(spec: str | Path | Source | Spec, *, defaults: bool = True) -> str:
    """The spec's text; without `defaults`, only what differs from them."""
    spec = spec_of(spec)
    graph = spec.graph
    lines = ["cnnspec: 1", f"name: {flow(spec.name)}", f"input: {flow(_input(spec.input))}"]
    if spec.classes:
        lines.append(f"classes: {flow(list(spec.classes))}")
    if spec.init != "torch":
        lines.append(f"init: {spec.init}")
    lines.append("layers:")
    items = _arrange(graph)
    lines += _list(items, _named(items, Counter()), defaults, 1)
    totals = {"parameters": trainable(graph.nodes), "macs": macs(graph.nodes), "output": list(graph.output.shape)}
    lines.append(f"expect: {flow(totals)}")
    if spec.examples:
        lines.append("examples:")
    for example in spec.examples:
        lines.append(f"  - name: {flow(example.name)}")
        lines.append(f"    input: {flow(example.input.nested())}")
        lines.append(f"    output: {flow(example.output.nested())}")
        lines.append(f"    tolerance: {flow(example.tolerance)}")
    if spec.train is not None:
        lines.append("train:")
        for name in type(spec.train).model_fields:
            value = getattr(spec.train, name)
            if value is not None:
                lines.append(f"  {name}: {flow(_plain(value))}")
    return "\n".join(lines) + "\n"


def _input(given: Input) -> Any:
    values = given.model_dump(exclude_defaults=True)
    return values if len(values) > 1 else values["shape"]


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {value.kind: value.model_dump()}
    return value.model_dump() if isinstance(value, BaseModel) else value


def _named(items: Iterable[Item | str], ordinals: Counter[str]) -> set[str]:
    """The nodes whose names are not those that they would be given, in the order of the text."""
    found = set()
    for item in items:
        if isinstance(item, str):
            continue
        node = item.node
        ordinals[node.kind] += 1
        if node.name != f"{node.kind}{ordinals[node.kind]}":
            found.add(node.name)
        for branch in item.branches.values():
            found |= _named(branch, ordinals)
    return found


# From the DAG to lists in lists


def _arrange(graph: Graph) -> list[Item]:
    """The nodes as one list, with branches where a merge needs them; the order of the nodes is kept."""
    readers: Counter[str] = Counter(name for node in graph.nodes for name in node.inputs)
    items: list[Item] = []
    for node in graph.nodes[1:]:
        items.append(_merge(node, items, readers) if node.layer.arity is None else Item(node, node.inputs[0]))
    return items


def _merge(node: Node, items: list[Item], readers: Counter[str]) -> Item:
    """A merge, with the items of its branches taken off the end of the list."""
    branches: list[tuple[str, list[Item]]] = []
    for name in reversed(node.inputs):
        chain = _own_branch(items, name, readers)
        branches.insert(0, (chain[0].reads if chain else name, chain))
        del items[len(items) - len(chain) :]
    here = items[-1].node.name if items else INPUT
    starts = {start for start, _ in branches[1:]}
    if branches[0] == (here, []) and len(starts) == 1:
        (start,) = starts
        if depth := _depth(items, start, readers):
            here, branches[0] = start, (start, items[-depth:])
            del items[-depth:]
    written = {
        key: [*([] if start == here else [start]), *chain]
        for key, (start, chain) in zip(node.branches, branches, strict=True)
    }
    return Item(node, here, written)


def _own_branch(items: list[Item], end: str, readers: Counter[str]) -> list[Item]:
    """The last items that lead to `end` and to nothing else, where the first of them reads from further up."""
    for i in range(len(items) - 1, -1, -1):
        item = items[i]
        if item.node.name != end or readers[end] != 1:
            return []
        end = item.reads
        if end != (items[i - 1].node.name if i else INPUT):
            return items[i:]
    return []


def _depth(items: list[Item], start: str, readers: Counter[str]) -> int:
    """How many of the last items only lead from `start` to the last one."""
    for depth, item in enumerate(reversed(items), 1):
        if readers[item.node.name] != 1:
            return 0
        if item.reads == start:
            return depth
    return 0


# From lists to text


def _list(items: Iterable[Item | str], named: set[str], defaults: bool, level: int) -> list[str]:
    indent = "  " * level
    lines: list[str] = []
    for item in items:
        if isinstance(item, str):
            lines.append(f"{indent}- from: {item}")
            continue
        node = item.node
        fields = ({"name": node.name} if node.name in named else {}) | _fields(node, defaults)
        if not item.branches:
            lines.append(f"{indent}- {node.kind}: {flow(fields)}" if fields else f"{indent}- {node.kind}")
            continue
        lines.append(f"{indent}- {node.kind}:")
        lines += [f"{indent}    {key}: {flow(value)}" for key, value in fields.items()]
        for key, branch in item.branches.items():
            inner = _list(branch, named, defaults, level + 3)
            if not inner:
                lines.append(f"{indent}    {key}: []")
            elif len(branch) == 1 and isinstance(branch[0], str):
                lines.append(f"{indent}    {key}: [from: {branch[0]}]")
            else:
                lines += [f"{indent}    {key}:", *inner]
    return lines


def _fields(node: Node, defaults: bool) -> dict[str, Any]:
    """The fields as a spec writes them."""
    values = node.layer.model_dump(exclude_defaults=not defaults, exclude_none=True)
    return {name: values[name] for name in node.layer.field_names() if name in values}


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
