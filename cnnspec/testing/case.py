"""A small network in which a backend is held to the definition of a layer, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from textwrap import indent
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.load import loads
from cnnspec.rng import stream
from cnnspec.testing.definitions import Array

BATCH = 2
SPREAD = 3.7


@dataclass(frozen=True)
class Case:
    """One network: which kind it tries, its `layers:` as YAML, and the shape of its input."""

    name: str
    kind: str
    layers: str
    input: tuple[int, ...]
    train: str = ""
    """A `train:` section in flow style; where there is one, a training step is tried too."""

    def __str__(self) -> str:
        return self.name

    def text(self) -> str:
        """The whole specification."""
        train = f"train: {self.train}\n" if self.train else ""
        return (
            f"cnnspec: 1\nname: {self.name}\ninput: {list(self.input)}\n{train}layers:\n{indent(self.layers, '  ')}\n"
        )

    @cache  # noqa: B019  (a case is frozen, and there are few)
    def loaded(self) -> Spec:
        """Return the checked spec."""
        return loads(self.text())

    def graph(self) -> Graph:
        """Return the network."""
        return self.loaded().graph

    def x(self) -> Array:
        """A batch of evenly spaced numbers from −3.7 to 3.7, shuffled: no two alike, so that no maximum is a tie.

        Like the weights they are whole numbers of float32, so that both formats start from the same.
        """
        size = BATCH * prod(self.input)
        even = (np.arange(size) + 0.5) / size * 2 - 1
        shuffled = stream(0, "x", self.name).permutation(SPREAD * even)
        return rounded(shuffled.reshape(BATCH, *self.input))

    def dy(self) -> Array:
        """A gradient of the output."""
        return rounded(stream(0, "dy", self.name).normal(size=(BATCH, *self.graph().output.shape)))

    def target(self) -> npt.NDArray[Any]:
        """What training aims at: class indices [n] under cross-entropy, else numbers of the output's shape."""
        spec, numbers = self.loaded(), stream(0, "target", self.name)
        if (spec.train or Train()).loss.targets == "classes":
            return numbers.integers(0, spec.graph.output.shape[0], BATCH)
        return rounded(numbers.normal(size=(BATCH, *spec.graph.output.shape)))

    def weights(self, seed: int = 0) -> dict[str, Array]:
        """Weights that hide nothing: no zeros, no ones; state that is no parameter (a variance) is positive."""
        weights = {}
        for name, parameter in self.graph().parameters.items():
            numbers = stream(seed, "weights", name)
            if parameter.trainable:
                drawn = numbers.normal(size=parameter.shape) / max(1, parameter.fan_in) ** 0.5
            else:
                drawn = numbers.uniform(0.5, 1.5, parameter.shape)
            weights[name] = rounded(drawn)
        return weights


def rounded(a: Array) -> Array:
    """The nearest numbers that float32 can hold."""
    return a.astype(np.float32).astype(np.float64)
