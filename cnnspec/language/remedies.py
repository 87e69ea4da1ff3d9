"""What would make a network fit: computed by trying, with the shape rules themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.layers import Layer, Shape, ShapeError
from cnnspec.layers.geometry import EachSide
from cnnspec.layers.window import looks_per_side

LARGEST = 1 << 16


def alternatives(remedies: Sequence[str]) -> str:
    """Return alternatives in a row: `a`, `a or b`, `a, b, or c`."""
    if len(remedies) < 3:
        return " or ".join(remedies)
    return ", ".join(remedies[:-1]) + f", or {remedies[-1]}"


def as_image(shape: Shape | None) -> str:
    """How an input of so many numbers is written as an image, with the sizes of a square where it is one."""
    for channels in (1, 3):
        side = math.isqrt(math.prod(shape or ()) // channels)
        if shape and side > 1 and math.prod(shape) == channels * side * side:
            return f"[{channels}, {side}, {side}]"
    return "[channels, height, width]"


def channels_last(nodes: Sequence[Node]) -> str:
    """Return how an image that is written with its channels last is an input, "" where none looks like that."""
    for node in nodes:
        if not node.inputs and len(node.shape) == 3 and node.shape[-1] in (1, 3) and min(node.shape[:2]) > 3:
            height, width, channels = node.shape
            return f"`{node.name}: {[channels, height, width]}` with the channels first"
    return ""


def padded_each_side(nodes: Sequence[Node], output: str, expected: Shape) -> list[str]:
    """Return the layers whose padding makes the output as expected if it is on each side; none where it does not."""
    _, ancestors = _ancestors(nodes, [output])
    shapes = {node.name: node.shape for node in nodes if not node.inputs}
    changed = []
    for node in ancestors:
        layer: Any = node.layer
        if looks_per_side(layer, len(node.windows)):
            layer = layer.model_copy(update={"padding": EachSide(layer.padding.sizes)})
            changed.append(node.name)
        try:
            shapes[node.name] = layer.infer(*(shapes[name] for name in node.inputs)).shape
        except ShapeError:
            return []
    return changed if shapes.get(output) == expected else []


def smallest_input(nodes: Sequence[Node], layer: Layer, inputs: Iterable[str]) -> Shape | None:
    """The smallest input of spatial axes for which `layer` fits behind these nodes, if there is one.

    None where what it reads depends on several inputs.
    """
    names = list(inputs)
    sources, ancestors = _ancestors(nodes, names)
    if len(sources) != 1 or len(shape := sources[0].shape) < 2:
        return None
    if not {name for node in ancestors for name in node.inputs} | {*names} <= {node.name for node in nodes}:
        return None  # behind a fault

    def fits(*sizes: int) -> bool:
        shapes: dict[str, Shape] = {sources[0].name: (shape[0], *sizes)}
        try:
            for node in ancestors:
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


def _ancestors(nodes: Sequence[Node], names: Iterable[str]) -> tuple[list[Node], list[Node]]:
    """Return the inputs and the layers that these nodes depend on, themselves included, in topological order."""
    wanted = set(names)
    inputs: list[Node] = []
    layers: list[Node] = []
    for node in reversed(nodes):
        if node.name in wanted:
            (layers if node.inputs else inputs).append(node)
            wanted.update(node.inputs)
    return inputs[::-1], layers[::-1]


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
