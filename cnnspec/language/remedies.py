"""What would make a network fit: computed by trying, with the shape rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from cnnspec.graph.graph import Node
from cnnspec.layers import Layer, Shape, ShapeError

LARGEST = 1 << 16


def alternatives(remedies: Sequence[str]) -> str:
    """Return alternatives in a row: `a`, `a or b`, `a, b, or c`."""
    if len(remedies) < 3:
        return " or ".join(remedies)
    return ", ".join(remedies[:-1]) + f", or {remedies[-1]}"


def smallest_input(nodes: Sequence[Node], layer: Layer, inputs: Iterable[str]) -> Shape | None:
    """The smallest input of spatial axes for which `layer` fits behind these nodes, if there is one.

    None where what it reads depends on several inputs.
    """
    names = list(inputs)
    way = ancestors(nodes, names)
    sources, layers = [n for n in way if not n.inputs], [n for n in way if n.inputs]
    if len(sources) != 1 or len(shape := sources[0].shape) < 2:
        return None
    if not {name for node in layers for name in node.inputs} | {*names} <= {node.name for node in nodes}:
        return None  # behind a fault

    def fits(*sizes: int) -> bool:
        shapes: dict[str, Shape] = {sources[0].name: (shape[0], *sizes)}
        try:
            for node in layers:
                shapes[node.name] = node.layer.infer(*(shapes[name] for name in node.inputs)).shape
            layer.infer(*(shapes[name] for name in names))
        except ShapeError:
            return False
        return True

    sizes = [max(shape[1:])] * (len(shape) - 1)
    while not fits(*sizes):
        sizes = [2 * n for n in sizes]
        if sizes[0] > LARGEST:
            return None
    for axis, enough in enumerate(sizes):
        before, after = sizes[:axis], sizes[axis + 1 :]
        sizes[axis] = _least(partial(_fits_at, fits, before, after), enough)
    return (shape[0], *sizes)


def _fits_at(fits: Callable[..., bool], before: list[int], after: list[int], n: int) -> bool:
    return fits(*before, n, *after)


def ancestors(nodes: Sequence[Node], names: Iterable[str], likes: Mapping[str, str] | None = None) -> list[Node]:
    """Return the nodes that these depend on, themselves and the network's inputs included, in topological order.

    `likes` are the nodes whose sizes layers take, by the names of these layers.
    """
    wanted = set(names)
    found = []
    for node in reversed(nodes):
        if node.name in wanted:
            found.append(node)
            wanted.update(node.inputs)
            if likes and node.name in likes:
                wanted.add(likes[node.name])
    return found[::-1]


def _least(works: Callable[[int], bool], enough: int) -> int:
    """The least number from which on it works, by halving; `enough` is known to."""
    low, high = 1, enough
    while low < high:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle + 1
    return high
