"""Graph to text: the spec with its parameters, blocks, sugar and defaults expanded. It checks to the same graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cnnspec.diagnostics import Source
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.settings import Choice, Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Loss
from cnnspec.language.inputs import SHORT_FORMS, by_name
from cnnspec.language.load import spec_of
from cnnspec.language.yaml_tree import resolve
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.geometry import Pads
from cnnspec.layers.input import INPUT


@dataclass(slots=True)
class Item:
    """A layer of a list, the node whose output it takes there, and the branches of a merge.

    A branch that does not start where its merge stands begins with the name that it starts from.
    """

    node: Node
    reads: str
    branches: dict[str, list[Item | str]] = field(default_factory=dict)


def render(spec: str | Path | Source | Spec, *, defaults: bool = True) -> str:
    """The spec's text; without `defaults`, only what differs from them."""
    spec = spec_of(spec)
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
    lines.append("layers:")
    items = _arrange(graph)
    lines += _list(items, _named(items, Counter()), defaults, 1)
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
            if value not in (None, {}):
                lines.append(f"  {name}: {flow(_plain(value))}")
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
#
# A list reads as it is written: each item takes the output of the item before it. A node that reads another one (a
# jump) begins a branch, and the layers of a merge's branches are the nodes right before the merge, branch after
# branch. So each merge takes its branches off the end of the list, the last branch first, and each branch goes back to
# its jump, or to the end of an earlier branch. What no branch needs stays in the list, where `from` finds it. Where a
# branch passes the end of a later merge's branch, both to go on and to leave it may be right: it is tried. A jump that
# leads to no merge, such as one to another output, stays in the list behind a `from`.

_MOST_ATTEMPTS = 4096


def _arrange(graph: Graph) -> list[Item | str]:
    """Return the nodes as one list, with branches where a merge needs them, in the order of the nodes.

    With one output, a list without jumps is preferred.
    """
    choices: list[bool] = []
    with_jumps: list[Item | str] | None = None
    for _ in range(_MOST_ATTEMPTS):
        arrangement = _Arrangement(graph, choices)
        if arrangement.is_valid:
            found = arrangement.listed()
            if len(found) == len(arrangement.items) or len(graph.outputs) > 1:
                return found
            with_jumps = with_jumps or found
        choices = arrangement.choices
        while choices and choices[-1]:
            choices.pop()
        if not choices:
            break
        choices[-1] = True
    return with_jumps or _flat(graph)


def _flat(graph: Graph) -> list[Item | str]:
    """Return the nodes as a list in which no branch has a layer, which expresses every graph."""
    items: list[Item | str] = []
    here = graph.inputs[0]
    for node in graph.nodes:
        if not node.inputs:
            continue
        branches: dict[str, list[Item | str]] = {}
        if _is_merge(node):
            reads = dict(zip(node.branches, node.inputs, strict=True))
            branches = {key: [] if name == here else [name] for key, name in reads.items()}
        elif node.inputs[0] != here:
            items.append(node.inputs[0])
        items.append(Item(node, node.inputs[0], branches))
        here = node.name
    return items


class _Arrangement:
    """One way to arrange the nodes; `choices` are made in the order in which they come up, False where none is left."""

    def __init__(self, graph: Graph, choices: list[bool]) -> None:
        self.given = choices
        self.choices: list[bool] = []
        self.items: list[Item] = []
        self.start = graph.inputs[0]
        self.readers = Counter(name for node in graph.nodes for name in node.inputs)
        self.later_ends = Counter(name for node in graph.nodes if _is_merge(node) for name in node.inputs)
        """How often branches of the merges that are still to come end in a node."""
        layers = [node for node in graph.nodes if node.inputs]
        for node in layers:
            if _is_merge(node):
                self.later_ends.subtract(node.inputs)
                self.items.append(self.merge(node))
            else:
                self.items.append(Item(node, node.inputs[0]))
        self.is_valid = self.reads_as([node.name for node in layers], set(graph.inputs))

    def reads_as(self, names: list[str], defined: set[str]) -> bool:
        """Return whether its text has the layers in this order, and refers to none before it is defined."""
        found = []
        for name, is_reference in _in_order(self.listed()):
            if is_reference and name not in defined:
                return False
            if not is_reference:
                found.append(name)
                defined.add(name)
        return found == names

    def listed(self) -> list[Item | str]:
        """Return the items, each jump behind the name that it starts from."""
        found: list[Item | str] = []
        for i, item in enumerate(self.items):
            found += [item.reads, item] if self.is_jump(i) else [item]
        return found

    def merge(self, node: Node) -> Item:
        """Return a merge with its branches, whose items are taken off the end of the list."""
        chains: list[list[Item]] = []
        starts: list[str] = []
        for i in range(len(node.inputs) - 1, -1, -1):
            end, length = node.inputs[i], 0
            if self.output(len(self.items)) == end:
                length = self.needed(node.inputs[:i]) or (self.natural(starts) if i == 0 else 0)
            chain = self.items[len(self.items) - length :]
            del self.items[len(self.items) - length :]
            chains.insert(0, chain)
            starts.insert(0, chain[0].reads if chain else end)
        here = self.output(len(self.items))
        branches: dict[str, list[Item | str]] = {}
        for key, start, chain in zip(node.branches, starts, chains, strict=True):
            implied = start == here or (chain and not _takes_input(chain[0]))
            branches[key] = [*([] if implied else [start]), *chain]
        return Item(node, here, branches)

    def output(self, i: int) -> str:
        """Return the output of the items before the i-th, which that one takes."""
        return self.items[i - 1].node.name if i else self.start

    def is_jump(self, i: int) -> bool:
        """Return whether an item reads another node than the one before it."""
        return self.items[i].reads != self.output(i)

    def needed(self, earlier: tuple[str, ...]) -> int:
        """Return how many of the last items a branch must hold; `earlier` are the ends of the branches before it."""
        passed_an_end = False
        length = len(self.items) if self.start in earlier else 0
        for i in range(len(self.items) - 1, -1, -1):
            name = self.items[i].node.name
            passed_an_end = passed_an_end or self.later_ends[name] > 0
            if name in earlier or self.is_jump(i):
                length = len(self.items) - i - (name in earlier)
                break
        return 0 if length and passed_an_end and self.choose() else length

    def choose(self) -> bool:
        """Return the next choice, which is False at first."""
        made = len(self.choices)
        self.choices.append(made < len(self.given) and self.given[made])
        return self.choices[-1]

    def natural(self, starts: list[str]) -> int:
        """Return how many of the last items lead from where another branch starts to their end, and nowhere else."""
        for length, item in enumerate(reversed(self.items), 1):
            if self.readers[item.node.name] != 1 or not _takes_input(item):
                return 0
            if item.reads in starts:
                return length
        return 0


def _is_merge(node: Node) -> bool:
    return node.layer.arity is None


def _takes_input(item: Item | str) -> bool:
    """Return whether it matters where an item stands: not for a merge all of whose branches start elsewhere."""
    if isinstance(item, str):
        return False
    return not item.branches or any(not branch or _takes_input(branch[0]) for branch in item.branches.values())


def _in_order(items: Iterable[Item | str]) -> Iterator[tuple[str, bool]]:
    """Yield the names as a reader of the text meets them: those of nodes, and those that branches start from."""
    for item in items:
        if isinstance(item, str):
            yield item, True
            continue
        for branch in item.branches.values():
            yield from _in_order(branch)
        yield item.node.name, False


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
        if (owner := node.shares_with) is not None:
            fields["share"] = owner
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
