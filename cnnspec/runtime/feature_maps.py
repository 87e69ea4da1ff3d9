"""The feature maps of a network for a batch, by the name of the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cnnspec.arrays import Array, Arrays
from cnnspec.display import Rich
from cnnspec.errors import InputError
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.selection import matching, proposal


class FeatureMaps(Mapping[str, Array], Rich):
    """The feature maps of some layers for a batch: name -> array [n, c, h, w], in the order of the network.

    A layer over one spatial axis has [n, c, l], one over three [n, c, d, h, w]. In a notebook, it is shown as pictures
    of the first sample (extra `images`).
    """

    def __init__(self, network: str, arrays: Arrays) -> None:
        self.network = network
        self.arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in self.arrays.items())
        return f"<feature maps of {self.network}: {shapes}>"


def collected(
    graph: Graph, run: Callable[[Callable[[str, Array], None]], Any], layers: Iterable[str] | None
) -> FeatureMaps:
    """Return the maps of the chosen layers, as `run` hands the value of each node to the hook that it is given."""
    chosen = _chosen(graph, layers)
    found: Arrays = {}

    def keep(name: str, value: Array) -> None:
        if name in chosen:
            found[name] = value.copy()

    run(keep)
    return FeatureMaps(graph.name, {node.name: found[node.name] for node in graph.nodes if node.name in found})


def _chosen(graph: Graph, patterns: Iterable[str] | None) -> set[str]:
    """Return the layers with maps that the patterns name, all of them for None; raise InputError for a wrong name."""
    layers = [node for node in graph.nodes if node.inputs]
    maps = {node.name for node in layers if is_map(node)}
    if patterns is None:
        return maps
    chosen = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        named = matching([node.name for node in layers], pattern)
        if not named:
            raise InputError(f"no layer matches `{pattern}`: {proposal(pattern, [node.name for node in layers])}")
        if maps.isdisjoint(named):
            raise InputError(f"`{pattern}` has no feature maps: it is a vector; `trace` returns the value of any layer")
        chosen |= maps.intersection(named)
    return chosen


def is_map(node: Node) -> bool:
    """Return whether a layer's value has spatial axes."""
    return len(node.shape) > 1
