"""Test cases: small networks in which a backend is compared with the definition of a layer, with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from textwrap import indent
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec.graph.finetuning import frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.inputs import flow_of
from cnnspec.language.load import loads
from cnnspec.rng import stream
from cnnspec.testing.definitions import Array

BATCH = 2
SPREAD = 3.7

IMAGE = (4, 6, 5)
VECTOR = (7,)


@dataclass(frozen=True)
class Case:
    """A network, the kind that it tests, its `layers:` as YAML, and the shape of its input."""

    name: str
    kind: str
    layers: str
    input: tuple[int, ...]
    train: str = ""
    """A `train:` section in flow style; with one, a training step is tested, too."""
    shift: float = 0.0
    """What is added to the input's numbers, from −3.7 to 3.7, for functions that are not defined below zero."""

    def __str__(self) -> str:
        return self.name

    def text(self) -> str:
        """Return the spec as text."""
        train = f"train: {self.train}\n" if self.train else ""
        return (
            f"cnnspec: 1\nname: {self.name}\ninput: {flow_of(self.input)}\n{train}layers:\n"
            f"{indent(self.layers, '  ')}\n"
        )

    @cache  # noqa: B019  (a case is frozen, and there are few)
    def loaded(self) -> Spec:
        """Return the checked spec."""
        return loads(self.text())

    def graph(self) -> Graph:
        """Return the network, with the layers frozen that `train` freezes."""
        spec = self.loaded()
        return frozen(spec.graph, spec.train or Train())

    def x(self) -> Array:
        """Return a batch of evenly spaced numbers around the shift, shuffled: no two are equal, so no maximum is a tie.

        Like the weights they are representable in float32, so that both data types start from the same numbers.
        """
        size = BATCH * prod(self.input)
        even = (np.arange(size) + 0.5) / size * 2 - 1
        shuffled = stream(0, "x", self.name).permutation(SPREAD * even + self.shift)
        return rounded(shuffled.reshape(BATCH, *self.input))

    def dy(self) -> Array:
        """Return a gradient of the output."""
        return rounded(stream(0, "dy", self.name).normal(size=(BATCH, *self.graph().output.shape)))

    def target(self) -> npt.NDArray[Any]:
        """Return the target: class indices [n, ...] or numbers of the output's shape, as the loss takes them."""
        spec, numbers = self.loaded(), stream(0, "target", self.name)
        shape, loss = spec.graph.output.shape, (spec.train or Train()).loss
        if loss.targets == "classes":
            return numbers.integers(0, loss.classes(shape), (BATCH, *loss.target_shape(shape)))
        if loss.targets == "labels":
            return numbers.integers(0, 2, (BATCH, *shape)).astype(np.float64)
        return rounded(numbers.normal(size=(BATCH, *shape)))

    def weights(self, seed: int = 0) -> dict[str, Array]:
        """Return weights that reveal every error: none is zero or one; running statistics are positive."""
        weights = {}
        for name, parameter in self.graph().parameters.items():
            numbers = stream(seed, "weights", name)
            if parameter.trainable:
                drawn = numbers.normal(size=parameter.shape) / max(1, parameter.fan_in) ** 0.5
            else:
                drawn = numbers.uniform(0.5, 1.5, parameter.shape)
            weights[name] = rounded(drawn)
        return weights


def rows(kind: str, input: tuple[int, ...], **layers: str) -> list[Case]:
    """Return cases of one kind on one input, from the name of each variant and its layer."""
    return [Case(f"{kind}-{name}".replace("_", "-"), kind, f"- {layer}", input) for name, layer in layers.items()]


def network(name: str, layers: str, input: tuple[int, ...] = IMAGE, train: str = "") -> Case:
    """Return a case of several layers, whose name begins with the kind that it tests."""
    return Case(name, name.split("-")[0], layers.strip("\n"), input, train)


def rounded(a: Array) -> Array:
    """Return the numbers rounded to float32, as float64."""
    return a.astype(np.float32).astype(np.float64)
