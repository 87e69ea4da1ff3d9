"""The network as a DAG of nodes in topological order, frozen; sugar, blocks and branches are gone by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cnnspec.diagnostics import Diagnostic, Span
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Train
from cnnspec.layers import Layer, Parameter, Shape
from cnnspec.layers.fields import Numbers
from cnnspec.layers.geometry import Pads


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place: what it reads, what it makes, and where it is written."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    shape: Shape
    """[c, h, w] or [f]; the batch is never written."""
    pads: Pads | None = None
    """Resolved padding, for layers that have one."""
    overhang: tuple[int, int] = (0, 0)
    """Rows below and columns right of the padding that the last window of a ceil rounding reaches."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    branches: tuple[str, ...] = ()
    """What the author calls the branches of a merge, in the order of the inputs."""
    span: Span | None = None

    @property
    def kind(self) -> str:
        """The layer's kind."""
        return self.layer.kind


@dataclass(frozen=True, slots=True)
class Example:
    """An input and the output that the network makes of it, both as written."""

    name: str
    input: Numbers
    output: Numbers
    tolerance: float
    span: Span


@dataclass(frozen=True)
class Graph:
    """A network that fits together. The first node is the input, the last the output."""

    name: str
    input: Input
    nodes: tuple[Node, ...]
    classes: tuple[str, ...] = ()
    init: str = "torch"
    examples: tuple[Example, ...] = ()
    train: Train | None = None
    warnings: tuple[Diagnostic, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def output(self) -> Node:
        """The node that makes the network's output."""
        return self.nodes[-1]

    @property
    def learns_examples(self) -> bool:
        """Whether the examples are what is to be learnt, which untrained weights cannot know."""
        return self.train is not None and self.train.data == "examples"

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every array of the network under the name `<layer>.<parameter>`, state included."""
        return {f"{node.name}.{key}": p for node in self.nodes for key, p in node.parameters.items()}

    @cached_property
    def last_use(self) -> dict[str, int]:
        """For each node, the index of the last node that reads it (its own where none does)."""
        last = {node.name: i for i, node in enumerate(self.nodes)}
        for i, node in enumerate(self.nodes):
            for name in node.inputs:
                last[name] = i
        return last
