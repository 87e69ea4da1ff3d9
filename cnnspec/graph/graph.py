"""The network as a frozen DAG of nodes in topological order, without sugar, blocks and branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cnnspec.diagnostics import Span
from cnnspec.display import Rich
from cnnspec.layers import Inferred, Layer, Parameter, Shape
from cnnspec.layers.geometry import Window


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place: its inputs and their shapes, its output shape, and its place in the spec's text."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    shape: Shape
    """[c, h, w] or [f]; the batch is never written."""
    windows: tuple[Window, ...] = ()
    """The resolved window along each spatial axis, of the layers that have one."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    arrays: Mapping[str, str] = field(default_factory=dict)
    """The names of the parameters' arrays; nodes that name the same array share it."""
    branches: tuple[str, ...] = ()
    """The author's names of the branches of a merge, in the order of the inputs."""
    span: Span | None = None
    like: str | None = field(default=None, compare=False)
    """The node whose spatial sizes were written as its layer's (`crop: {like: name}`), which other inputs change."""
    frozen: bool = False
    """Whether it computes in training as at inference, and keeps its arrays as they are."""

    @property
    def kind(self) -> str:
        """The layer's kind."""
        return self.layer.kind

    @property
    def inferred(self) -> Inferred:
        """The result of the layer's shape rule."""
        return Inferred(self.shape, self.windows)

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers in training."""
        return self.layer.stochastic and not self.frozen

    @property
    def normalises_batch(self) -> bool:
        """Whether it normalises over the batch in training."""
        return self.layer.needs_batch_statistics and not self.frozen


@dataclass(frozen=True)
class Graph(Rich):
    """A network whose layers fit together: nodes in topological order, and the names of its inputs and outputs."""

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """The nodes whose values the network hands out."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The names under which outputs are handed out, by node, where these are not the nodes' own."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names under which the outputs are handed out."""
        return tuple(self.aliases.get(name, name) for name in self.outputs)

    @property
    def output_nodes(self) -> dict[str, Node]:
        """The nodes whose values are the outputs, by the names under which these are handed out."""
        return {name: self.by_name[node] for name, node in zip(self.output_names, self.outputs, strict=True)}

    @property
    def has_one_of_each(self) -> bool:
        """Whether the network has one input and one output."""
        return len(self.inputs) == len(self.outputs) == 1

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def input(self) -> Node:
        """The input of a network that has one; ValueError for any other."""
        return self._only(self.inputs, "inputs")

    @property
    def output(self) -> Node:
        """The node whose value is the output of a network that has one; ValueError for any other."""
        return self._only(self.outputs, "outputs")

    def _only(self, names: tuple[str, ...], what: str) -> Node:
        if len(names) != 1:
            raise ValueError(f"`{self.name}` has {len(names)} {what} ({', '.join(names)}), not one")
        return self.by_name[names[0]]

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every array of the network by its name, state included; one that nodes share is there once."""
        return {node.arrays[key]: p for node in self.nodes for key, p in node.parameters.items()}

    @cached_property
    def frozen_arrays(self) -> frozenset[str]:
        """The arrays of frozen nodes."""
        return frozenset(array for node in self.nodes if node.frozen for array in node.arrays.values())

    @cached_property
    def depends_on_parameters(self) -> frozenset[str]:
        """The nodes whose values depend on a trainable parameter."""
        found: set[str] = set()
        for node in self.nodes:
            if any(p.trainable for p in node.parameters.values()) or not found.isdisjoint(node.inputs):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def shares(self) -> dict[str, str]:
        """The nodes that have arrays of an earlier node, and the first node that has them."""
        owners: dict[str, str] = {}
        found: dict[str, str] = {}
        for node in self.nodes:
            for array in node.arrays.values():
                owner = owners.setdefault(array, node.name)
                if owner != node.name:
                    found.setdefault(node.name, owner)
        return found
