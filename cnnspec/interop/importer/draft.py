"""The layers of an imported network while they are changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cnnspec.arrays import Arrays
from cnnspec.interop.importer.paths import Paths
from cnnspec.layers import Layer, Shape


@dataclass(slots=True)
class Step:
    """A layer of the network while it is changed."""

    name: str
    layer: Layer
    inputs: list[str]
    arrays: dict[str, str]
    branches: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """The layers of a network in their order, and the arrays by name."""

    steps: dict[str, Step]
    arrays: Arrays
    outputs: dict[str, str]
    """The layers whose values are the outputs, by the names of these."""
    shapes: dict[str, Shape]
    """The shape of each layer's output, without the batch."""
    paths: Paths
    """Where the arrays come from."""

    def readers(self) -> Counter[str]:
        """Return how often each layer is read."""
        return Counter([*self.outputs.values(), *(name for step in self.steps.values() for name in step.inputs)])

    def shared(self) -> set[str]:
        """Return the arrays that several layers have."""
        counts = Counter(array for step in self.steps.values() for array in step.arrays.values())
        return {array for array, count in counts.items() if count > 1}

    def replace(self, old: str, new: str) -> None:
        """Let all that read one layer read another, and remove the former."""
        for step in self.steps.values():
            step.inputs = [new if name == old else name for name in step.inputs]
        self.outputs = {name: new if node == old else node for name, node in self.outputs.items()}
        del self.steps[old]

    def insert(self, step: Step, before: str, shape: Shape) -> None:
        """Add a layer, whose output has this shape, before another one."""
        found: dict[str, Step] = {}
        for name, other in self.steps.items():
            if name == before:
                found[step.name] = step
            found[name] = other
        self.steps = found
        self.shapes[step.name] = shape
