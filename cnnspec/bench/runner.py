"""What every peer does in a worker: prepare a workload, and return the call that is timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array
from cnnspec.bench.options import Network, Workload
from cnnspec.data import inputs
from cnnspec.errors import BackendError
from cnnspec.runtime.plan import PlanStep

Call = Callable[[], Any]


class Runner(ABC):
    """A peer with a network."""

    version: str
    """The library and its version."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def prepare(self, workload: Workload) -> tuple[Array, Call]:
        """Return values to compare with those of other peers, and the call to time.

        The values are the output of inference; of training the losses of two steps, the second of which depends on the
        gradients, or nothing where layers drop elements at random.
        """
        graph, n = self.network.graph, workload.batch
        x = inputs.random(graph.input.shape, n, self.network.seed).x.astype(self.array_dtype)
        if workload.mode == "forward":
            return np.array(self.forward(x)), lambda: self.forward(x)
        target = self._target(n)
        self.begin_training()
        losses = [self.step(x, target), self.step(x, target)]
        stochastic = any(node.layer.stochastic for node in graph.nodes)
        return np.array([] if stochastic else losses), lambda: self.step(x, target)

    def _target(self, n: int) -> Array:
        stream, shape = rng.stream(self.network.seed, "target"), self.network.graph.output.shape
        loss = self.network.train.loss
        wanted = (n, *loss.target_shape(shape))
        if loss.targets == "classes":
            return stream.integers(0, loss.classes(shape), wanted)
        found = stream.integers(0, 2, wanted) if loss.targets == "labels" else stream.standard_normal(wanted)
        return found.astype(self.array_dtype)

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """The data type of inputs and outputs."""
        return np.dtype(np.float64 if self.network.dtype == "float64" else np.float32)

    def plan(self, batch: int) -> list[PlanStep]:
        """Return the steps by which inference of a batch is computed; raise BackendError where there is no plan."""
        raise BackendError("it lists no steps")

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return the output for a batch, as at inference."""

    @abstractmethod
    def begin_training(self) -> None:
        """Restore the initial weights, and begin training."""

    @abstractmethod
    def step(self, x: Array, target: Array) -> float:
        """Make one step of the optimizer, and return the loss before it."""
