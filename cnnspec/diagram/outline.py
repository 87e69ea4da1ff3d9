"""What a diagram has boxes for: the author's blocks, and within them stacks of layers that are drawn as one box."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cnnspec.graph.blocks import runs
from cnnspec.graph.costs import Row, summarize
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Shape

MOST_DEPTH = 30
"""The most blocks around a layer that are drawn; those further within are a part of its name."""


@dataclass(frozen=True)
class Layer:
    """A layer of a diagram: the node, its row of the table of costs, and the shape that it reads first."""

    node: Node
    row: Row

    @property
    def changes_shape(self) -> bool:
        """Whether its output has another shape than its (first) input."""
        return not self.node.in_shapes or self.node.in_shapes[0] != self.node.shape


@dataclass(frozen=True, eq=False)
class Box:
    """Layers that are drawn as one box: a layer, and the norms and functions of each number that follow it."""

    layers: tuple[Layer, ...]
    label: str
    """The name of the first layer, without that of the block around it."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The layers that the box reads."""
        return self.layers[0].node.inputs


@dataclass(frozen=True, eq=False)
class End:
    """An end of the network, or of the block that is drawn alone: a tensor that is handed in or out."""

    label: str
    shape: Shape
    tensor: str
    """The layer whose output is handed out; of one that is handed in, the name under which it is read."""
    is_input: bool


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the author, or the network as a whole: `name` is "" then."""

    name: str
    label: str
    """The name without those of the blocks around it."""
    items: tuple[Item, ...] = field(repr=False)

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes within it, in the order of their layers."""
        return tuple(box for item in self.items for box in boxes_of(item))

    @property
    def layers(self) -> list[Layer]:
        """The layers within it."""
        return [layer for box in self.boxes for layer in box.layers]

    @property
    def blocks(self) -> list[Block]:
        """The blocks directly within it."""
        return [item for item in self.items if isinstance(item, Block)]


Item = Box | Block | End


def boxes_of(item: Item) -> Iterator[Box]:
    """Yield the boxes of an item: itself, or those within it."""
    if isinstance(item, Box):
        yield item
    elif isinstance(item, Block):
        yield from item.boxes


@dataclass(frozen=True)
class Outline:
    """The tree of a network's blocks, and what the figures of its layers are compared with."""

    title: str
    root: Block
    parameters: int
    macs: int
    largest: int
    """The most numbers that one tensor has."""

    @cached_property
    def paths(self) -> dict[Item, tuple[Block, ...]]:
        """The blocks around each item, the network first."""
        found: dict[Item, tuple[Block, ...]] = {}

        def visit(block: Block, around: tuple[Block, ...]) -> None:
            for item in block.items:
                found[item] = (*around, block)
                if isinstance(item, Block):
                    visit(item, found[item])

        visit(self.root, ())
        return found


def outline(graph: Graph, within: str | None = None) -> Outline:
    """Return the blocks of a graph; `within`, those of one block, with what it reads and what is read of it as ends.

    Raise KeyError where no layer is within the block.
    """
    summary = summarize(graph)
    layers = [Layer(node, row) for node, row in zip(graph.nodes, summary.rows, strict=True)]
    if within is not None:
        layers = [layer for layer in layers if layer.node.name.startswith(f"{within}.")]
        if not layers:
            raise KeyError(within)
    depth = 0 if within is None else within.count(".") + 1
    builder = _Builder(graph)
    items: list[Item] = [*_handed_in(graph, layers), *builder.items(layers, depth), *_handed_out(graph, layers)]
    largest = max(math.prod(node.shape) for node in graph.nodes)
    title = graph.name if within is None else f"{graph.name}: {within}"
    return Outline(title, Block("", title, tuple(items)), summary.totals.parameters, summary.totals.macs, largest)


def _handed_in(graph: Graph, layers: Sequence[Layer]) -> list[End]:
    """Return an end for each input, and for what is read from outside of a block."""
    inside = {layer.node.name for layer in layers}
    read = dict.fromkeys(name for layer in layers for name in layer.node.inputs if name not in inside)
    own = [layer.node.name for layer in layers if not layer.node.inputs]
    return [End(name, graph.by_name[name].shape, name, True) for name in [*own, *read]]


def _handed_out(graph: Graph, layers: Sequence[Layer]) -> list[End]:
    """Return an end for each output, and for what is read outside of a block."""
    inside = {layer.node.name for layer in layers}
    read = [name for node in graph.nodes if node.name not in inside for name in node.inputs if name in inside]
    outputs = dict(zip(graph.outputs, graph.output_names, strict=True))
    if len(outputs) == 1:
        outputs = dict.fromkeys(outputs, "output")
    names = [name for name in outputs if name in inside] + [name for name in read if name not in outputs]
    labels = {name: outputs.get(name, "read outside") for name in names}
    return [End(label, graph.by_name[name].shape, name, False) for name, label in labels.items()]


class _Builder:
    """Makes the items of a graph's layers."""

    def __init__(self, graph: Graph) -> None:
        self.readers = Counter(name for node in graph.nodes for name in node.inputs)
        self.outputs = frozenset(graph.outputs)

    def items(self, layers: Sequence[Layer], depth: int) -> list[Item]:
        """Return the blocks and boxes of layers, which have `depth` blocks around them.

        A block that has one item is no box of its own: its name precedes that of the item.
        """
        found: list[Item] = []
        for block, start, end in runs([layer.node.name for layer in layers], depth):
            part = layers[start:end]
            if block is None or depth >= MOST_DEPTH:
                found += self._boxes([layer for layer in part if layer.node.inputs], depth)
                continue
            own = block.rpartition(".")[2]
            match self.items(part, depth + 1):
                case [Box() | Block() as item]:
                    found.append(replace(item, label=f"{own}.{item.label}"))
                case items if items:
                    found.append(Block(block, own, tuple(items)))
        return found

    def _boxes(self, layers: Sequence[Layer], depth: int) -> list[Box]:
        stacks: list[list[Layer]] = []
        stack_of: dict[str, list[Layer]] = {}
        for layer in layers:
            stack = stack_of.get(layer.node.inputs[0])
            if stack is None or not self._continues(stack[-1], layer):
                stack = []
                stacks.append(stack)
            stack.append(layer)
            stack_of[layer.node.name] = stack
        return [Box(tuple(stack), stack[0].node.name.split(".", depth)[-1]) for stack in stacks]

    def _continues(self, before: Layer, layer: Layer) -> bool:
        """Whether a layer is drawn below another in one box: it alone reads it, and changes numbers, not the shape."""
        name, kind = before.node.name, layer.node.layer
        return (
            layer.node.inputs == (name,)
            and self.readers[name] == 1
            and name not in self.outputs
            and not layer.changes_shape
            and (kind.elementwise or kind.family in ("norm", "activation"))
        )
