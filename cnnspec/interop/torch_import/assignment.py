"""The weights of a PyTorch module for a spec of the same network, assigned by what each layer reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph, Node
from cnnspec.interop.comparison import TOLERANCE
from cnnspec.interop.torch_import.load import difference_from, from_torch
from cnnspec.weights.conversion import Conversion, Pair

MOST_ATTEMPTS = 10_000
"""How many ways to pair the branches of merges are tried."""
MOST_ORDERS = 4
"""The most branches whose order is tried."""


def assigned(graph: Graph, module: Any, source: str) -> Conversion:
    """Return the arrays of a graph, taken from a module that is the same network under other names.

    The module is traced, and its layers are paired with those of the graph from the outputs on, by what they read; the
    outputs of both are then compared with these weights. Raises WeightsError where the networks differ, or where layers
    could be paired in several ways and the one that was found does not compute the same.
    """
    shapes = [graph.by_name[name].shape for name in graph.inputs]
    found = from_torch(module, shapes, verify=False, source=source)
    other = found.spec.graph
    pairs = _Pairing(graph, other).pairs()
    arrays: Arrays = {}
    rows = []
    for name, partner in pairs.items():
        node, theirs = graph.by_name[name], other.by_name[partner]
        for key, array_name in node.arrays.items():
            array = found.arrays[theirs.arrays[key]]
            shape = node.parameters[key].shape
            arrays[array_name] = array.reshape(shape)
            same = theirs.arrays[key] == array_name
            rows.append(Pair(theirs.arrays[key], array_name, array.shape, shape, renamed=False, by_name=same))
    missing = [name for name in graph.parameters if name not in arrays]
    if missing:
        raise WeightsError(f"`{source}` has nothing for {', '.join(missing[:10])}{' …' * (len(missing) > 10)}")
    rows = list({row.name: row for row in rows}.values())
    order = {name: i for i, name in enumerate(graph.parameters)}
    difference = difference_from(module, graph, arrays).difference
    if not difference.relative <= TOLERANCE:
        raise WeightsError(
            f"with the weights of `{source}`, the spec computes something else: the outputs differ by {difference}; "
            "what has no weights differs (strides, padding, `eps`, activations), or layers of the same shapes"
        )
    note = f"assigned by what each layer reads; the outputs differ by {difference}"
    return Conversion({name: arrays[name] for name in order}, tuple(sorted(rows, key=lambda r: order[r.name])), (note,))


class _Pairing:
    """Layers with weights of one graph, and their partners in another, from the outputs on."""

    def __init__(self, graph: Graph, other: Graph) -> None:
        self.graphs = (graph, other)
        self.attempts = 0
        self.fault = ""

    def pairs(self) -> dict[str, str]:
        """Return the partner of each layer with weights; raise WeightsError where there is none."""
        ends = [[graph.by_name[name] for name in graph.outputs] for graph in self.graphs]
        if len(ends[0]) != len(ends[1]):
            raise WeightsError(
                f"the spec has {len(ends[0])} outputs and the module {len(ends[1])}: they are not the same network"
            )
        start: list[tuple[Sequence[Node], Sequence[Node]]] = [
            (self._sources(0, a), self._sources(1, b)) for a, b in zip(*ends, strict=True)
        ]
        for found in self._extended({}, start):
            return found
        raise WeightsError(f"the spec and the module are not the same network: {self.fault or 'their layers differ'}")

    def _sources(self, side: int, node: Node) -> list[Node]:
        """Return the layers with weights whose values reach a node through layers without, itself included."""
        return [node] if node.arrays or not node.inputs else self._read(side, node)

    def _read(self, side: int, node: Node) -> list[Node]:
        """Return the layers with weights whose values a node reads, through layers without."""
        found: list[Node] = []
        for name in node.inputs:
            found += [x for x in self._sources(side, self.graphs[side].by_name[name]) if x not in found]
        return found

    def _extended(
        self, known: dict[str, str], waiting: Sequence[tuple[Sequence[Node], Sequence[Node]]]
    ) -> Iterator[dict[str, str]]:
        """Yield the pairings that go on from known ones."""
        if not waiting:
            yield known
            return
        (ours, theirs), *rest = waiting
        if len(ours) != len(theirs):
            self.fault = f"{_said(ours)} of the spec, and {_said(theirs)} of the module"
            return
        orders = permutations(theirs) if 1 < len(theirs) <= MOST_ORDERS else [tuple(theirs)]
        for order in orders:
            self.attempts += 1
            if self.attempts > MOST_ATTEMPTS:
                return
            found, more = dict(known), list[tuple[Sequence[Node], Sequence[Node]]]()
            for a, b in zip(ours, order, strict=True):
                if found.get(a.name, b.name) != b.name or not _alike(a, b):
                    self.fault = f"`{a.name}` ({_about(a)}) of the spec, and `{b.name}` ({_about(b)}) of the module"
                    break
                if a.name not in found and a.inputs:
                    found[a.name] = b.name
                    more.append((self._read(0, a), self._read(1, b)))
            else:
                yield from self._extended(found, [*more, *rest])


def _alike(a: Node, b: Node) -> bool:
    """Whether the weights of one layer can be those of the other."""
    if not a.inputs or not b.inputs:
        return not a.inputs and not b.inputs and a.shape == b.shape
    return _sizes(a) == _sizes(b)


def _sizes(node: Node) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of the arrays without axes of size one, which a matrix as a convolution has more of."""
    return {key: tuple(n for n in p.shape if n != 1) for key, p in node.parameters.items()}


def _about(node: Node) -> str:
    shapes = ", ".join(f"{key} {'×'.join(map(str, p.shape))}" for key, p in node.parameters.items())
    return f"{node.kind}, {shapes}" if shapes else node.kind


def _said(nodes: Sequence[Node]) -> str:
    return " and ".join(f"`{node.name}`" for node in nodes[:4]) + " …" * (len(nodes) > 4)
