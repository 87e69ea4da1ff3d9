"""The weights of a PyTorch module for a spec of the same network, assigned by what each layer reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.selection import layer_of
from cnnspec.interop.comparison import TOLERANCE
from cnnspec.interop.torch_import.load import ModuleOutputs, from_torch
from cnnspec.layers import Shape
from cnnspec.weights.conversion import Conversion, Pair

MOST_ATTEMPTS = 10_000
"""How many ways to pair the branches of merges are tried."""
MOST_ORDERS = 4
"""The most branches whose order is tried."""
MOST_COMPARED = 8
"""How many pairings that fit are compared with the module."""

Sources = Sequence[Node]
"""The layers with weights that a layer reads."""


def assigned(graph: Graph, module: Any, source: str) -> Conversion:
    """Return the arrays of a graph, taken from a module that is the same network under other names.

    The module is traced, and its layers are paired with those of the graph from the outputs on, by what they read; the
    outputs of both are then compared with these weights. Where layers can be paired in several ways, the first that
    computes the same is taken. Raises WeightsError where the networks differ.
    """
    shapes = [graph.by_name[name].shape for name in graph.inputs]
    found = from_torch(module, shapes, verify=False, source=source)
    outputs = ModuleOutputs(module, graph, source)
    state = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    differences = []
    for pairs in itertools.islice(_pairings(graph, found.spec.graph), MOST_COMPARED):
        taken = _taken(graph, found.spec.graph, pairs)
        arrays = {name: found.arrays[source].reshape(graph.parameters[name].shape) for name, source in taken.items()}
        if missing := [name for name in graph.parameters if name not in arrays]:
            raise WeightsError(f"`{source}` has nothing for {', '.join(missing[:10])}{' …' * (len(missing) > 10)}")
        difference = outputs.difference(graph, arrays).difference
        if difference.relative <= TOLERANCE:
            note = f"assigned by what each layer reads; the outputs differ by {difference}"
            rows = tuple(_row(graph, name, taken[name], found.arrays, state) for name in graph.parameters)
            return Conversion({name: arrays[name] for name in graph.parameters}, rows, (note,))
        differences.append(difference)
    closest = min(differences, key=lambda difference: difference.relative)
    raise WeightsError(
        f"with the weights of `{source}`, the spec computes something else: the outputs differ by {closest}; "
        "what has no weights differs (strides, padding, `eps`, activations), or layers of the same shapes"
    )


def _taken(graph: Graph, other: Graph, pairs: Mapping[str, str]) -> dict[str, str]:
    """Return which array of the other graph each array of a graph is."""
    found: dict[str, str] = {}
    for name, partner in pairs.items():
        theirs = other.by_name[partner].arrays
        found |= {array: theirs[key] for key, array in graph.by_name[name].arrays.items()}
    return found


def _row(graph: Graph, name: str, taken: str, arrays: Arrays, state: Mapping[str, Shape]) -> Pair:
    """Return what an array is taken from: a tensor of the module, which may stand alone, or what it computes."""
    source = next((tensor for tensor in (taken, layer_of(taken)) if tensor in state), taken)
    shape = state.get(source, arrays[taken].shape)
    by_name = source in (name, layer_of(name))
    return Pair(source, name, shape, graph.parameters[name].shape, renamed=False, by_name=by_name)


def _pairings(graph: Graph, other: Graph) -> Iterator[dict[str, str]]:
    """Yield the partners of the layers with weights that fit; raise WeightsError where there are none."""
    if len(graph.outputs) != len(other.outputs):
        raise WeightsError(
            f"the spec has {len(graph.outputs)} outputs and the module {len(other.outputs)}: they are not the same "
            "network"
        )
    ends = [([graph.by_name[a]], [other.by_name[b]]) for a, b in zip(graph.outputs, other.outputs, strict=True)]
    start: list[tuple[Sources, Sources]] = [(_sources(graph, a), _sources(other, b)) for a, b in ends]
    # What is known, and what is still to be paired; the last is tried first.
    states: list[tuple[dict[str, str], list[tuple[Sources, Sources]]]] = [({}, start)]
    fault, attempts, found = "their layers differ", 0, False
    while states:
        known, waiting = states.pop()
        if not waiting:
            found = True
            yield known
            continue
        (ours, theirs), *rest = waiting
        if len(ours) != len(theirs):
            fault = f"{_said(ours)} of the spec, and {_said(theirs)} of the module"
            continue
        orders = list(itertools.permutations(theirs)) if len(theirs) <= MOST_ORDERS else [tuple(theirs)]
        attempts += len(orders)
        if attempts > MOST_ATTEMPTS:
            fault = f"no pairing of their layers was found in {MOST_ATTEMPTS:,} attempts"
            break
        following = []
        for order in orders:
            state = dict(known)
            unlike = next((pair for pair in zip(ours, order, strict=True) if not _fits(state, *pair)), None)
            if unlike is not None:
                a, b = unlike
                fault = f"`{a.name}` ({_about(a)}) of the spec, and `{b.name}` ({_about(b)}) of the module"
                continue
            new = [(a, b) for a, b in zip(ours, order, strict=True) if a.inputs and a.name not in state]
            state |= {a.name: b.name for a, b in new}
            reads = [(_read(graph, a), _read(other, b)) for a, b in new]
            following.append((state, [*reads, *rest]))
        states += following[::-1]
    if not found:
        raise WeightsError(f"the spec and the module are not the same network: {fault}")


def _fits(known: Mapping[str, str], a: Node, b: Node) -> bool:
    """Whether a layer can be the partner of another."""
    return known.get(a.name, b.name) == b.name and _alike(a, b)


def _sources(graph: Graph, nodes: Sequence[Node]) -> list[Node]:
    """Return the layers with weights (and inputs) whose values nodes have, through layers without, in their order."""
    found: dict[str, Node] = {}
    waiting = list(nodes)[::-1]
    while waiting:
        node = waiting.pop()
        if node.arrays or not node.inputs:
            found.setdefault(node.name, node)
        else:
            waiting += [graph.by_name[name] for name in node.inputs[::-1]]
    return list(found.values())


def _read(graph: Graph, node: Node) -> list[Node]:
    """Return the layers with weights whose values a node reads, through layers without."""
    return _sources(graph, [graph.by_name[name] for name in node.inputs])


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
