"""What a network would be with some layers changed: the shapes on the way to a fault, by the layers' own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnspec.diagnostics import Span
from cnnspec.graph.graph import Node
from cnnspec.language.causes.conventions import Conventions
from cnnspec.language.causes.fault import Fault, Placed
from cnnspec.language.causes.places import Places
from cnnspec.language.causes.written import Written
from cnnspec.language.document import Document
from cnnspec.language.names import Names
from cnnspec.language.yaml_tree import YamlNode
from cnnspec.layers import Layer, Shape, ShapeError
from cnnspec.layers.base import SameShape

MAX_INFERENCES = 4_000
"""How many shapes are inferred for one fault."""


@dataclass(frozen=True)
class Change:
    """Layers in place of others, and what else is changed on the way to a fault."""

    layers: Mapping[str, Layer] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    """Layers that hand on their input."""
    inputs: Mapping[str, Shape] = field(default_factory=dict)
    """The shapes of inputs of the network."""
    appended: Mapping[int, tuple[Layer, ...]] = field(default_factory=dict)
    """Layers at the end of a branch, by the place among the inputs of the fault."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Nodes in place of others that the layers after them read, where `starts` says so."""
    starts: frozenset[str] = frozenset()
    """The layers that read the nodes in `moved`; the fault itself has its own name, or "" for none."""


@dataclass
class Network:
    """The nodes that a fault depends on, in topological order."""

    fault: Fault
    document: Document
    placed: Mapping[str, Placed]
    written: Mapping[Span, Written]
    """The entries of the whole text."""
    rules: Conventions
    places: Places
    nodes: list[Node]
    likes: Mapping[str, str]
    """The node whose sizes a layer takes, by the name of the layer."""
    all_shapes: Mapping[str, Shape]
    """The shapes of all nodes that were placed before the fault."""
    names: Names
    left: int = MAX_INFERENCES
    """How many shapes may still be inferred."""

    def __post_init__(self) -> None:
        self.by_name = {node.name: node for node in self.nodes}
        self.order = {node.name: i for i, node in enumerate(self.nodes)}

    @property
    def shapes(self) -> list[Shape]:
        """The shapes that the fault reads."""
        return [self.all_shapes[name] for name in self.fault.reads]

    @property
    def layer(self) -> Layer | None:
        """The layer that does not fit, if it is one."""
        return self.placed[self.fault.name].layer if self.fault.name else None

    # The branches of a merge as the text has them

    def branch(self, i: int) -> YamlNode | None:
        """Return the list of a branch."""
        return self.placed[self.fault.name].entry.get(self.fault.branches[i])

    def elements(self, i: int) -> tuple[YamlNode, ...]:
        """Return the items of a branch."""
        items = self.branch(i)
        return items.elements() if items is not None else ()

    def source(self, i: int) -> YamlNode | None:
        """Return the name that a branch begins with behind `from`, if it does."""
        elements = self.elements(i)
        return elements[0].get("from") if elements and len(elements[0].keys) == 1 else None

    def start(self, i: int) -> str | None:
        """Return the node that a branch begins from, where it names one."""
        source = self.source(i)
        if source is None:
            return None
        full = self.names.find("from", source, self.placed[self.fault.name].entry.scope)
        return self.names.outputs[full].node if full is not None else None

    def known_names(self) -> dict[str, str]:
        """Return the names that the author wrote for what comes before the fault, with their nodes."""
        found = {}
        for name, output in self.names.outputs.items():
            placed = self.placed.get(name)
            if output.node in self.all_shapes and (placed is None or placed.entry.get("name") is not None):
                found[name] = output.node
        return found

    # Changes

    def fits(self, change: Change) -> bool:
        """Return whether the fault is gone with a change."""
        read = self._read(change)
        if read is None:
            return False
        if self.fault.accepts is not None:
            return self.fault.accepts(read)
        layer = change.layers.get(self.fault.name, self.layer)
        assert layer is not None
        try:
            layer.infer(*read)
        except ShapeError:
            return False
        return True

    def _read(self, change: Change) -> list[Shape] | None:
        """Return the shapes that the fault would read; None where a layer before it does not fit."""
        new: dict[str, Shape] = dict(change.inputs)
        for node in self.nodes:
            if self.left <= 0:
                return None
            is_start = node.name in change.starts
            if not node.inputs:
                continue
            is_new = node.name in change.layers or is_start or node.name in change.removed
            like = self.likes.get(node.name)
            if not is_new and like not in new and not any(name in new for name in node.inputs):
                continue
            reads = [change.moved.get(name, name) if is_start else name for name in node.inputs]
            shape = self._infer(node, change, [self._shape(name, new) for name in reads], new)
            if shape is None:
                return None
            if shape != node.shape:
                new[node.name] = shape
        moved = change.moved if self.fault.name in change.starts else {}
        read = [self._shape(moved.get(name, name), new) for name in self.fault.reads]
        for i, layers in change.appended.items():
            for layer in layers:
                try:
                    read[i] = layer.infer(read[i]).shape
                except ShapeError:
                    return None
        return read

    def _shape(self, name: str, new: Mapping[str, Shape]) -> Shape:
        return new[name] if name in new else self.all_shapes[name]

    def _infer(self, node: Node, change: Change, shapes: list[Shape], new: Mapping[str, Shape]) -> Shape | None:
        if node.name in change.removed:
            return shapes[0]
        layer = change.layers.get(node.name, node.layer)
        if type(layer).infer is SameShape.infer:
            return shapes[0]
        if (like := self.likes.get(node.name)) is not None and type(layer).like is not None:
            layer = layer.model_copy(update={str(type(layer).like): self._shape(like, new)[1:]})
        self.left -= 1
        try:
            return layer.infer(*shapes).shape
        except ShapeError:
            return None
