"""Rewrites of a graph: each returns a graph that computes the same outputs with less work.

A rewrite asks layers for their traits and never for their kind, and handles no arrays: an array that the new graph has
and the old one has not comes with a `Recipe`, which computes it from arrays of the old graph, in NumPy or in Torch.
Nodes that a rewrite merges are known by the name of the last of them, so that outputs keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Layer

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


def with_rescaled_activations(given: Rewritten) -> Rewritten:
    """Replace y = scale · f(factor · x) + shift by f, with its constants in the weights before it and behind it.

    Exact up to rounding: factor · (Σ weight · x + bias) = Σ (factor · weight) · x + factor · bias, and
    Σ weight · (scale · f + shift) + bias = Σ (scale · weight) · f + (bias + shift · Σ weight), where no padding takes
    part in the sums as zeros. Layers between commute with the constants; only where nothing else reads a value on the
    way. An activation near 0 is then rounded relative to `shift`, and no longer to itself.
    """
    graph, recipes = given.graph, dict(given.recipes)
    nodes, only_readers = dict(graph.by_name), _only_readers(graph)
    for node in graph.nodes:
        rescaled = node.layer.rescaled
        if rescaled is None:
            continue
        before = _weighted_before(node, nodes, only_readers)
        behind = _weighted_behind(node, nodes, only_readers, rescaled.shift)
        if before is not None and behind is not None:
            nodes[node.name] = replace(node, layer=rescaled.layer)
            nodes[before.name] = _with_factor(before, rescaled.factor, recipes)
            nodes[behind.name] = _with_affine_input(behind, rescaled.scale, rescaled.shift, recipes)
    return _rewritten(replace(graph, nodes=tuple(nodes.values())), recipes)


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
        arrays = _arrays_of(node.name, _folded(before, node, recipes), recipes)
        del nodes[before.name]
        parameters = layer.parameters(*before.in_shapes)
        nodes[node.name] = replace(before, name=node.name, layer=layer, parameters=parameters, arrays=arrays)
    return _rewritten(replace(graph, nodes=tuple(nodes.values())), recipes)


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


def _only_readers(graph: Graph) -> dict[str, Node]:
    """Return the reader of each value that one layer alone reads, once, and that is no output."""
    readers = _readers(graph)
    return {
        name: node
        for node in graph.nodes
        for name in node.inputs
        if readers[name] == 1 and name not in graph.outputs and len(node.inputs) == 1
    }


def _weighted_before(node: Node, nodes: Mapping[str, Node], only_readers: Mapping[str, Node]) -> Node | None:
    """Return the layer before a node whose weights can take a factor of the node's input, if there is one."""
    while node.inputs and node.inputs[0] in only_readers:
        node = nodes[node.inputs[0]]
        if node.layer.folds_affine:
            return node
        if not node.layer.commutes_with_affine:
            return None
    return None


def _weighted_behind(
    node: Node, nodes: Mapping[str, Node], only_readers: Mapping[str, Node], shift: float
) -> Node | None:
    """Return the layer behind a node whose weights can take a factor and a shift of its value, if there is one."""
    while node.name in only_readers:
        node = nodes[only_readers[node.name].name]
        padded = any(window.before > 0 or window.after > 0 for window in node.windows)
        if shift and padded and node.layer.pads_with_zeros:
            return None
        if node.layer.folds_affine_input:
            return node
        if not node.layer.commutes_with_affine:
            return None
    return None


def _is_plain_monotone(node: Node) -> bool:
    # In training, dropout is not the function of its input that it is at inference.
    layer = node.layer
    return bool(node.inputs) and layer.elementwise and layer.monotone and not layer.stochastic and not node.parameters


def _folds_into(graph: Graph, readers: Mapping[str, int], node: Node) -> bool:
    return node.layer.folds_affine and readers.get(node.name) == 1 and node.name not in graph.outputs


def _rewritten(graph: Graph, recipes: Mapping[str, Recipe]) -> Rewritten:
    """Return a graph with those recipes that it needs."""
    return Rewritten(graph, {name: recipe for name, recipe in recipes.items() if name in graph.parameters})


def _arrays_of(name: str, computed: Mapping[str, Recipe], recipes: dict[str, Recipe]) -> dict[str, str]:
    """Add the recipes of a node's new arrays; return the names of the arrays."""
    arrays = {key: f"{name}:{key}" for key in computed}
    recipes |= {arrays[key]: recipe for key, recipe in computed.items()}
    return arrays


def _own(node: Node, recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Return how a node's arrays are computed, by parameter."""
    return {key: recipes.get(name) or _as_it_is(name) for key, name in node.arrays.items()}


def _folded(before: Node, node: Node, recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Return the recipes of the weight and the bias of `before` with the affine layer `node` folded into them."""
    own = _own(before, recipes)
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

    sources = _sources(own.values(), node.arrays.values())
    return {"weight": Recipe(sources, weight), "bias": Recipe(sources, bias)}


def _with_factor(node: Node, factor: float, recipes: dict[str, Recipe]) -> Node:
    """Return a layer with weights whose output is that of the node times a factor."""

    def times(recipe: Recipe) -> Recipe:
        return Recipe(recipe.sources, lambda read: factor * recipe.compute(read))

    scaled = {key: times(recipe) for key, recipe in _own(node, recipes).items()}
    return replace(node, arrays=_arrays_of(node.name, scaled, recipes))


def _with_affine_input(node: Node, scale: float, shift: float, recipes: dict[str, Recipe]) -> Node:
    """Return a layer with weights whose output for x is that of the node for scale · x + shift."""
    own = _own(node, recipes)
    layer: Any = node.layer

    def weight(read: Read) -> Any:
        return scale * own["weight"].compute(read)

    def bias(read: Read) -> Any:
        moved = shift * layer.summed_weight(own["weight"].compute(read))
        return own["bias"].compute(read) + moved if "bias" in own else moved

    sources = _sources(own.values())
    recomputed = {"weight": Recipe(sources, weight), "bias": Recipe(sources, bias)}
    with_bias: Layer = layer.with_bias()
    return replace(
        node,
        layer=with_bias,
        parameters=with_bias.parameters(*node.in_shapes),
        arrays=_arrays_of(node.name, recomputed, recipes),
    )


def _sources(recipes: Iterable[Recipe], arrays: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the arrays that recipes depend on, and further ones, each once."""
    return tuple(dict.fromkeys([*(name for recipe in recipes for name in recipe.sources), *arrays]))


def _as_it_is(name: str) -> Recipe:
    return Recipe((name,), lambda read: read(name))
