"""A checked spec: the network, and what the author states around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cnnspec.diagnostics import Diagnostic, Span
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Optimizer, Train
from cnnspec.layers.base import DEFAULT_SCHEME
from cnnspec.layers.fields import Numbers


@dataclass(frozen=True, slots=True)
class Example:
    """An input and the output that the network computes from it, both as written."""

    name: str
    input: Numbers
    output: Numbers
    tolerance: float
    span: Span


@dataclass(frozen=True)
class Spec:
    """A spec without errors: its graph, and how it is fed, tested and trained."""

    name: str
    graph: Graph
    input: Input
    """Preprocessing of the input."""
    classes: tuple[str, ...] = ()
    """Names of the outputs."""
    init: str = DEFAULT_SCHEME
    """The default scheme that draws the initial weights."""
    examples: tuple[Example, ...] = ()
    train: Train | None = None
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def examples_are_training_data(self) -> bool:
        """Whether the examples are what is to be learned, which untrained weights cannot reproduce."""
        return self.train is not None and self.train.data == "examples"

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer of the `train:` section, if there is one."""
        return self.train.optimizer if self.train else None

    def resizing(self) -> Spec:
        """Return the spec with an input that stretches images of another size, as `--resize` asks for."""
        return replace(self, input=self.input.model_copy(update={"fit": "resize"}))
