"""The layers of a graph as entries of a text: lists in lists, with norms and activations as fields of their layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cnnspec.graph.graph import Graph, Node
from cnnspec.language.arrange import Item, arrange, oddly_named
from cnnspec.language.render import fields_of
from cnnspec.layers import LAYERS
from cnnspec.layers.activation import Activation
from cnnspec.layers.norm import Norm

Value = Any
"""A number, a text, a tuple of numbers, or a mapping, as a field of a layer has it."""


@dataclass(frozen=True)
class Entry:
    """An entry of a list of layers: a kind or a block, its fields, and its branches or layers."""

    kind: str
    fields: tuple[tuple[str, Value], ...] = ()
    lists: tuple[tuple[str, tuple[Entry, ...]], ...] = ()
    """The branches of a merge, or the layers of a repeat."""
    arrives: int = 0
    """How many channels arrive at it."""
    fixed: bool = False
    """Whether it refers to another layer, or is referred to: it stands where it is."""
    name: str = ""
    """Its name where its arrays are called after that, and not by kind and ordinal; in a block, within the block."""

    @property
    def lines(self) -> int:
        """How many lines of text it takes."""
        if self.is_short_repeat:
            return 1
        inner = sum(1 + sum(entry.lines for entry in entries) for _, entries in self.lists)
        return 1 + inner

    @property
    def is_short_repeat(self) -> bool:
        """Whether it is a repeat of one or two entries without lists of their own, which is written on one line."""
        inner = [entry for _, entries in self.lists for entry in entries]
        return self.kind == "repeat" and len(inner) <= 2 and not any(entry.lists for entry in inner)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the entry and of those inside of it, in the order of the text."""
        own = (self.name,) if self.name else ()
        return own + tuple(name for _, entries in self.lists for entry in entries for name in entry.names)

    def renamed(self, names: Iterator[str]) -> Entry:
        """Return the entry with other names where it has some, in the same order."""
        name = next(names) if self.name else ""
        lists = [(key, [entry.renamed(names) for entry in entries]) for key, entries in self.lists]
        return replace(self, name=name).with_lists(lists)

    @property
    def all_fixed(self) -> bool:
        """Whether it or a part of it stands where it is."""
        return self.fixed or any(entry.all_fixed for _, entries in self.lists for entry in entries)

    def with_lists(self, lists: Iterable[tuple[str, Sequence[Entry]]]) -> Entry:
        """Return the entry with other branches or layers."""
        return replace(self, lists=tuple((name, tuple(entries)) for name, entries in lists))

    def values(self) -> Iterator[tuple[Entry, str, Value]]:
        """Yield the fields of the entry and of those inside of it, in the order of the text."""
        for name, value in self.fields:
            yield self, name, value
        for _, entries in self.lists:
            for entry in entries:
                yield from entry.values()

    def replaced(self, values: Iterator[Value]) -> Entry:
        """Return the entry with other values of its fields, in the same order."""
        fields = tuple((name, next(values)) for name, _ in self.fields)
        return replace(self, fields=fields).with_lists(
            (name, [entry.replaced(values) for entry in entries]) for name, entries in self.lists
        )


def entries_of(graph: Graph, modules: bool = False) -> tuple[Entry, ...]:
    """Return the layers of a graph as one list.

    All keep their names, and those whose names are no defaults stay where they are; where names are those of
    `modules`, only layers with weights keep them, which may be within a block.
    """
    items = arrange(graph)
    named = set(graph.outputs) - {graph.nodes[-1].name}
    named |= set(_references(items)) | set(graph.shares) | set(graph.shares.values())
    odd = oddly_named(items) - named
    movable = {node.name for node in graph.nodes if modules and node.name in odd and node.arrays}
    named |= set() if modules else odd
    readers = Counter(n for node in graph.nodes for n in node.inputs)
    return tuple(_listed(items, _Names(named, movable), graph.shares, readers))


class _Names(NamedTuple):
    """The layers whose names are written: those that stay where they are, and those that may be within a block."""

    fixed: set[str]
    movable: set[str]


def _references(items: Iterable[Item | str]) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield item
        else:
            for branch in item.branches.values():
                yield from _references(branch)


def _listed(items: Sequence[Item | str], names: _Names, shares: Any, readers: Counter[str]) -> Iterator[Entry]:
    i = 0
    while i < len(items):
        item = items[i]
        if isinstance(item, str):
            yield Entry("from", (("", item),), fixed=True)
            i += 1
            continue
        node = item.node
        fields = fields_of(node, names.fixed, shares, defaults=False)
        taken = 1
        if node.kind in ("conv", "conv_transpose", "dense") and node.name not in names.fixed | set(shares):
            taken, fields = _with_sugar(items, i, fields, names.fixed | names.movable - {node.name}, readers)
        lists = [(key, tuple(_listed(branch, names, shares, readers))) for key, branch in item.branches.items()]
        arrives = node.in_shapes[0][0] if node.in_shapes else 0
        is_fixed = node.name in names.fixed or node.name in shares
        name = node.name if node.name in names.movable else ""
        yield Entry(node.kind, tuple(fields.items()), _well_named(node.kind, lists), arrives, is_fixed, name)
        i += taken


def _with_sugar(
    items: Sequence[Item | str], i: int, fields: dict[str, Value], named: set[str], readers: Counter[str]
) -> tuple[int, dict[str, Value]]:
    """Return how many items a layer takes with the norm and the activation behind it, and its fields with these."""
    taken, last = 1, _node(items, i)
    assert last is not None
    found = dict(fields)
    for field, base in (("norm", Norm), ("activation", Activation)):
        node = _node(items, i + taken)
        if node is None or not isinstance(node.layer, base) or node.inputs != (last.name,) or readers[last.name] != 1:
            continue
        if node.name in named or last.name in named:
            break
        inner = fields_of(node, named, {}, defaults=False)
        main = LAYERS[node.kind].main
        short = inner[main] if main is not None and list(inner) == [main] else inner
        if field == "norm":
            if "bias" in found:  # it is false, which a norm implies
                del found["bias"]
            else:
                found["bias"] = True
        found[field] = {node.kind: short} if inner else node.kind
        taken, last = taken + 1, node
    return taken, found


def _node(items: Sequence[Item | str], i: int) -> Node | None:
    item = items[i] if i < len(items) else None
    return item.node if isinstance(item, Item) and not item.branches else None


def _well_named(kind: str, lists: list[tuple[str, tuple[Entry, ...]]]) -> tuple[tuple[str, tuple[Entry, ...]], ...]:
    """Return the branches with the names that they usually have where there are two: main and skip, x and gate."""
    if len(lists) != 2 or kind not in ("add", "multiply"):
        return tuple(lists)
    sizes = [sum(entry.lines for entry in entries) for _, entries in lists]
    names = ("main", "skip") if kind == "add" else ("gate", "x")
    if sizes[0] < sizes[1]:
        names = names[::-1]
    return tuple((name, entries) for name, (_, entries) in zip(names, lists, strict=True))
