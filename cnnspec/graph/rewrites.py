"""Rewrites of a graph: each returns a graph that computes the same outputs with less work.

A rewrite asks layers for their traits and never for their kind, and handles no arrays: an array that the new graph has
and the old one has not comes with a `Recipe`, which computes it from arrays of the old graph, in NumPy or in Torch.
Nodes that a rewrite merges are known by the name of the last of them, so that outputs keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cnnspec.graph.graph import Graph, Node

Read = Callable[[str], Any]
"""Returns an array of the original graph by its name."""


@dataclass(frozen=True)
class Recipe:
    """How an array of a rewritten graph is computed from arrays of the original one."""

    sources: tuple[str, ...]
    """The arrays of the original graph that it depends on."""
    compute: Callable[[Read], Any]


@dataclass(frozen=True)
class Rewritten:
    """A graph for inference or training, and the recipes of the arrays that the original graph does not have."""

    graph: Graph
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


def for_inference(graph: Graph) -> Rewritten:
    """Return the graph after all rewrites; its outputs are equal up to rounding."""
    return _with_all_pools_before_activations(with_folded_affine_layers(without_identities(Rewritten(graph))))


def for_training(graph: Graph) -> Rewritten:
    """Return the graph with pools before activations, whose parameters, outputs and gradients are the same.

    Exact in the outputs as `with_pools_before_activations` is. The gradient of a window goes to its maximum in either
    order, times f' there. The orders differ only in which of several elements gets it where f makes them equal: where f
    is constant, f' is 0 and so is the gradient, at the ends of that range too (relu at 0, relu6 at 6); elsewhere they
    are so close that rounding makes them equal, and so are their gradients up to rounding.
    """
    return _with_all_pools_before_activations(Rewritten(graph))


def _with_all_pools_before_activations(done: Rewritten) -> Rewritten:
    while (swapped := with_pools_before_activations(done)).graph != done.graph:
        done = swapped
    return done


def without_identities(given: Rewritten) -> Rewritten:
    """Remove layers that are the identity at inference, such as dropout.

    Exact: each output element of an elementwise layer depends on one element of the input alone, and where the output
    shares the input's memory it is that element. One that is an output of the network stays, since it has a name.
    """
    graph = given.graph
    stands_for: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        read = tuple(stands_for.get(name, name) for name in node.inputs)
        if node.layer.elementwise and node.layer.aliases_input and node.name not in graph.outputs and node.inputs:
            stands_for[node.name] = read[0]
        else:
            nodes.append(node if read == node.inputs else replace(node, inputs=read))
    return replace(given, graph=replace(graph, nodes=tuple(nodes)))


def with_folded_affine_layers(given: Rewritten) -> Rewritten:
    """Fold a layer that is y = scale[c] · x + shift[c] into the weights of the layer before it.

    Exact up to rounding: scale · (Σ weight · x + bias) + shift = Σ (scale · weight) · x + (scale · bias + shift), since
    the scale is the same at all positions of a channel. Only where nothing else reads the layer before it.
    """
    graph, recipes = given.graph, dict(given.recipes)
    readers = _readers(graph)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0]) if len(node.inputs) == 1 else None
        if before is None or not node.layer.affine_by_channel or not _folds_into(graph, readers, before):
            nodes[node.name] = node
            continue
        layer = before.layer.with_bias()  # type: ignore[attr-defined]  # the trait says that there is one
        arrays = {key: f"{node.name}:{key}" for key in ("weight", "bias")}
        for key, recipe in zip(arrays.values(), _folded(before, node, recipes), strict=True):
            recipes[key] = recipe
        del nodes[before.name]
        parameters = layer.parameters(*before.in_shapes)
        nodes[node.name] = replace(before, name=node.name, layer=layer, parameters=parameters, arrays=arrays)
    graph = replace(graph, nodes=tuple(nodes.values()))
    return Rewritten(graph, {name: recipe for name, recipe in recipes.items() if name in graph.parameters})


def with_pools_before_activations(given: Rewritten) -> Rewritten:
    """Swap an activation that never decreases and a maximum over windows that reads it.

    Exact up to rounding: for a non-decreasing f, max(f(x), f(y)) = f(max(x, y)); the padding is never the maximum, and
    no window is padding alone. The activation then runs over the fewer elements behind the pool.
    """
    graph = given.graph
    readers = _readers(graph)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0]) if len(node.inputs) == 1 else None
        only = before is not None and readers[before.name] == 1 and before.name not in graph.outputs
        if before is None or not only or not node.layer.takes_maximum or not _is_plain_monotone(before):
            nodes[node.name] = node
            continue
        pool = replace(node, name=before.name, inputs=before.inputs)
        activation = replace(before, name=node.name, inputs=(pool.name,), in_shapes=(pool.shape,), shape=pool.shape)
        del nodes[before.name]
        nodes |= {pool.name: pool, activation.name: activation}
    return replace(given, graph=replace(graph, nodes=tuple(nodes.values())))


def _readers(graph: Graph) -> dict[str, int]:
    """Return how many inputs of layers read each node."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found[name] = found.get(name, 0) + 1
    return found


def _is_plain_monotone(node: Node) -> bool:
    # In training, dropout is not the function of its input that it is at inference.
    layer = node.layer
    return bool(node.inputs) and layer.elementwise and layer.monotone and not layer.stochastic and not node.parameters


def _folds_into(graph: Graph, readers: Mapping[str, int], node: Node) -> bool:
    return node.layer.folds_affine and readers.get(node.name) == 1 and node.name not in graph.outputs


def _folded(before: Node, node: Node, recipes: Mapping[str, Recipe]) -> tuple[Recipe, Recipe]:
    """Return the recipes of the weight and the bias of `before` with the affine layer `node` folded into them."""
    own = {key: recipes.get(name) or _as_it_is(name) for key, name in before.arrays.items()}
    layer: Any = before.layer
    affine: Any = node.layer

    def scale_and_shift(read: Read) -> tuple[Any, Any]:
        scale, shift = affine.scale_and_shift({key: read(name) for key, name in node.arrays.items()})
        return scale, shift

    def weight(read: Read) -> Any:
        return layer.scaled_weight(own["weight"].compute(read), scale_and_shift(read)[0])

    def bias(read: Read) -> Any:
        scale, shift = scale_and_shift(read)
        return scale * own["bias"].compute(read) + shift if "bias" in own else shift

    sources = tuple(
        dict.fromkeys([*(name for recipe in own.values() for name in recipe.sources), *node.arrays.values()])
    )
    return Recipe(sources, weight), Recipe(sources, bias)


def _as_it_is(name: str) -> Recipe:
    return Recipe((name,), lambda read: read(name))
