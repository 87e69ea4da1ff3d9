"""A checked spec: the network, and what the author states around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cnnspec.diagnostics import Diagnostic, Span
from cnnspec.display import Rich
from cnnspec.graph.finetuning import frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Loss, Train
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.fields import Numbers


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs and the outputs that the network computes from them, by name and as written."""

    name: str
    inputs: Mapping[str, Numbers]
    outputs: Mapping[str, Numbers]
    tolerance: float
    span: Span


@dataclass(frozen=True)
class Spec(Rich):
    """A spec without errors: its graph, and how it is fed, tested and trained."""

    name: str
    graph: Graph
    inputs: Mapping[str, Input]
    """The shape and the preprocessing of each input."""
    classes_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of the classes of each output that has some."""
    init: str = DEFAULT_SCHEME
    """The default scheme that draws the initial weights."""
    examples: tuple[Example, ...] = ()
    train: Train | None = None
    ignored: tuple[str, ...] = ()
    """The codes of warnings and notes that the author silences for the whole spec."""
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def input(self) -> Input:
        """The input of a network that has one; ValueError for any other."""
        return self.inputs[self.graph.input.name]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of a network with one output, () where it has none; ValueError for any other."""
        node = self.graph.output.name
        return self.classes_of.get(self.graph.aliases.get(node, node), ())

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each output that is trained, by the output's name."""
        return (self.train or Train()).by_output(self.graph.output_names)

    @property
    def examples_are_training_data(self) -> bool:
        """Whether the examples are what is to be learned, which untrained weights cannot reproduce."""
        return self.train is not None and self.train.data == "examples"

    @property
    def trained_graph(self) -> Graph:
        """The graph with the layers of `freeze` marked as frozen."""
        return frozen(self.graph, self.train) if self.train and self.train.freeze else self.graph

    def resizing(self) -> Spec:
        """Return the spec with inputs that stretch images of another size, as `--resize` asks for."""
        inputs = {name: settings.model_copy(update={"fit": "resize"}) for name, settings in self.inputs.items()}
        return replace(self, inputs=inputs)
