"""The nodes of a graph as lists in lists, with branches where a merge needs them: what a text of it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cnnspec.graph.graph import Graph, Node


@dataclass(slots=True)
class Item:
    """A layer of a list, the node whose output it takes there, and the branches of a merge.

    A branch that does not start where its merge stands begins with the name that it starts from.
    """

    node: Node
    reads: str
    branches: dict[str, list[Item | str]] = field(default_factory=dict)


# A list reads as it is written: each item takes the output of the item before it. A node that reads another one (a
# jump) begins a branch, and the layers of a merge's branches are the nodes right before the merge, branch after
# branch. So each merge takes its branches off the end of the list, the last branch first, and each branch goes back to
# its jump, or to the end of an earlier branch. What no branch needs stays in the list, where `from` finds it. Where a
# branch passes the end of a later merge's branch, both to go on and to leave it may be right: it is tried. A jump that
# leads to no merge, such as one to another output, stays in the list behind a `from`.

_MOST_ATTEMPTS = 4096


def arrange(graph: Graph) -> list[Item | str]:
    """Return the nodes as one list, with branches where a merge needs them, in the order of the nodes.

    With one output, a list without jumps is preferred.
    """
    for node in graph.nodes:
        if node.arrays != _arrays(graph, node):
            reason = f"the arrays of `{node.name}` are neither its own nor those of one other layer"
            raise ValueError(f"`{graph.name}` cannot be written as a spec: {reason}")
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
        self.readers: dict[str, set[str]] = {node.name: set() for node in graph.nodes}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name].add(node.name)
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
                length = self.needed(node.inputs[:i]) or (self.natural(starts, node.name) if i == 0 else 0)
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

    def natural(self, starts: list[str], merge: str) -> int:
        """Return how many of the last items lead from where another branch starts to their end, and nowhere else."""
        inside = {merge}
        for length, item in enumerate(reversed(self.items), 1):
            if not _takes_input(item) or not self.readers[item.node.name] <= inside:
                return 0
            inside |= {name for name, is_reference in _in_order([item]) if not is_reference}
            if item.reads in starts:
                return length
        return 0


def _arrays(graph: Graph, node: Node) -> Mapping[str, str]:
    """Return the arrays that a node has in a spec: its own, or all those of the one whose weights it shares."""
    owner = graph.shares.get(node.name)
    return graph.by_name[owner].arrays if owner else {key: f"{node.name}.{key}" for key in node.parameters}


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


def oddly_named(items: Iterable[Item | str], ordinals: Counter[str] | None = None) -> set[str]:
    """Return the nodes whose names are not those that they would be given, in the order of the text."""
    counts = Counter[str]() if ordinals is None else ordinals
    found = set()
    for item in items:
        if isinstance(item, str):
            continue
        counts[item.node.kind] += 1
        if item.node.name != f"{item.node.kind}{counts[item.node.kind]}":
            found.add(item.node.name)
        for branch in item.branches.values():
            found |= oddly_named(branch, counts)
    return found
