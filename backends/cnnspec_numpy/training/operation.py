"""What the layers of a training plan have in common: the calls of their forward and their backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnspec_numpy.plan.finish import Constants
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.value import Border, Value

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node

Sync = Callable[[str, Array], Callable[[], Any]]
"""(name, array) -> a call that replaces the array by its sum over all shards of the batch."""


@dataclass
class Moment:
    """What random layers draw by, as `kernels.Context` has it."""

    seed: int = 0
    step: int = 0
    first: int = 0
    samples: int | None = None

    def set(self, other: Moment, first: int) -> None:
        """Take the values of another one, for samples from position `first` on."""
        self.seed, self.step, self.samples = other.seed, other.step, other.samples
        self.first = first


@dataclass(frozen=True)
class Job:
    """A node of a training plan with its arrays, for a shard of the batch.

    Values and gradients have the batch last. `dx` has a gradient for each input, None where nothing before it is
    trained; where `adds` is true, another reader of that value has written its part already.
    """

    node: Node
    n: int
    x: tuple[Value, ...]
    y: Value
    dx: tuple[Value | None, ...]
    dy: Value | None
    adds: tuple[bool, ...]
    kept: Mapping[str, Array]
    """Arrays from the forward pass for the backward pass."""
    work: Callable[[str], Array]
    """Memory of the current call of `forward` or `backward`, by name, as a vector."""
    weights: Mapping[str, Array]
    """The node's parameters, in their own layout."""
    gradients: Mapping[str, Array]
    """The gradients of those that are trained, to be written; what several nodes write is added up by the plan."""
    constants: Constants
    sync: Sync
    batch: int
    """Samples of the whole batch."""
    state: Mapping[str, Array]
    """Where the next values of the node's state are left, by parameter."""
    moment: Moment
    """The seed and the number of the step."""


class Operation:
    """A layer of a training plan."""

    keeps_input: ClassVar[bool] = False
    """Whether the backward pass reads the inputs."""
    keeps_output: ClassVar[bool] = False
    """Whether the backward pass reads the output."""
    in_place: ClassVar[bool] = False
    """Whether the output may lie where the input lies, and dx where dy lies."""

    def __init__(self, node: Node, needs_dx: tuple[bool, ...]) -> None:
        self.node = node
        self.needs_dx = needs_dx

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether it can compute a node of its kind."""
        return True

    def border(self) -> Border:
        """Return the zeros that the forward pass needs around its input."""
        return Border()

    def gradient_border(self) -> Border:
        """Return the zeros that the backward pass needs around dy."""
        return Border()

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that the backward pass takes from the forward pass, by name."""
        return {}

    def workspace(self, n: int) -> dict[str, int]:
        """Return how many numbers of memory either pass needs, by name."""
        return {}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the calls that compute y."""
        raise NotImplementedError

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the calls that compute dx and the gradients of the parameters from dy."""
        raise NotImplementedError
