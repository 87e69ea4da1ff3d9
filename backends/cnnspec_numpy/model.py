"""A network on NumPy: the nodes in order, and back again for the gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Layer
from cnnspec.layers.input import INPUT
from cnnspec.runtime.model import Model
from cnnspec_numpy import losses, optimizers
from cnnspec_numpy.kernels import Call, kernels_of
from cnnspec_numpy.kernels.base import Backward

Tape = list[tuple[Node, Backward]]

_QUIETLY = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""What overflows is infinite, and is reported by those who look at the numbers, not at each product."""


class NumpyModel(Model):
    """A graph with its weights, as NumPy arrays that are changed in place."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], device: str, dtype: str) -> None:
        super().__init__(graph, device, dtype)
        self._kernels = kernels_of(graph)
        self._weights = {name: np.array(weights[name], self.array_dtype, order="C") for name in graph.parameters}
        self._params = {n.name: {key: self._weights[f"{n.name}.{key}"] for key in n.parameters} for n in graph.nodes}
        self._trainable = [name for name, parameter in graph.parameters.items() if parameter.trainable]
        self._learns = _learns(graph)
        # What is dead once a node has run.
        self._dead: list[list[str]] = [[] for _ in graph.nodes]
        for name, i in graph.last_use.items():
            if name != graph.output.name:
                self._dead[i].append(name)

    def _predict(self, x: Array) -> Array:
        return self._watch(x)

    def _watch(self, x: Array, see: Callable[[str, Array], None] | None = None) -> Array:
        y = self._forward(x, see=see)[self.graph.output.name]
        # A network of views alone would hand out the caller's own array.
        return y.copy() if np.may_share_memory(x, y) else y

    @_QUIETLY
    def _forward(
        self,
        x: Array,
        tape: Tape | None = None,
        state: Arrays | None = None,
        see: Callable[[str, Array], None] | None = None,
    ) -> Arrays:
        """The values that are alive at the end; fills the tape, and trains where given `state`."""
        training = state is not None
        values: Arrays = {}
        for node, dead in zip(self.graph.nodes, self._dead, strict=True):
            if node.kind == INPUT:
                values[node.name] = x
            else:
                call: Call[Layer] = Call(
                    node,
                    self._params[node.name],
                    training=training,
                    seed=self.train.seed if training else 0,
                    step=self.steps if training else 0,
                    wants_dx=not training or any(name in self._learns for name in node.inputs),
                    state=state if state is not None else {},
                )
                values[node.name], backward = self._kernels[node.kind](call, *(values[name] for name in node.inputs))
                if tape is not None:
                    tape.append((node, backward))
                # A closure holds what it read, which would live on through the next node.
                del backward
            if see is not None:
                see(node.name, values[node.name])
            for name in dead:
                del values[name]
        return values

    @_QUIETLY
    def _backward(self, tape: Tape, dy: Array) -> tuple[Arrays, Arrays]:
        """The gradients of what no kernel made (the input), and of the trainable parameters; empties the tape."""
        d = {self.graph.output.name: dy}
        gradients: Arrays = {}
        while tape:
            node, backward = tape.pop()
            if node.name not in d:
                continue
            dxs, found = backward(d.pop(node.name))
            gradients.update({f"{node.name}.{key}": gradient for key, gradient in found.items()})
            for name, dx in zip(node.inputs, dxs, strict=True):
                if dx is not None:
                    d[name] = d[name] + dx if name in d else dx
        # A parameter that leads to no output has no part in it.
        nothing = {name: np.zeros_like(self._weights[name]) for name in self._trainable if name not in gradients}
        return d, gradients | nothing

    def _vjp(self, x: Array, dy: Array) -> tuple[Array, Arrays]:
        tape: Tape = []
        self._forward(x, tape)
        d, gradients = self._backward(tape, dy)
        return np.array(d.get(INPUT, np.zeros_like(x))), gradients

    def _loss_and_gradients(self, x: Array, target: Array) -> tuple[float, Arrays]:
        loss, _, gradients = self._in_training(x, target, {})
        return loss, gradients

    def _in_training(self, x: Array, target: Array, state: Arrays) -> tuple[float, Array, Arrays]:
        tape: Tape = []
        y = self._forward(x, tape, state)[self.graph.output.name]
        loss, dy = losses.LOSSES[self.train.loss.kind](self.train.loss, y, target)
        return loss, y, self._backward(tape, dy)[1]

    @_QUIETLY
    def _step(self, x: Array, target: Array) -> tuple[float, Array]:
        state: Arrays = {}
        loss, y, gradients = self._in_training(x, target, state)
        for name, value in state.items():
            self._weights[name][...] = value
        optimizers.step(self.train.optimizer, self._weights, gradients, self._slots, self.learning_rate, self.steps + 1)
        return loss, y

    def _begin_training(self) -> None:
        trainable = {name: self._weights[name] for name in self._trainable}
        self._slots = optimizers.zero_state(self.train.optimizer, trainable)

    def _optimizer_state(self) -> Arrays:
        return {name: array.copy() for name, array in self._slots.items()}

    def _load_optimizer_state(self, state: Mapping[str, Array]) -> None:
        optimizers.load(self._slots, state)

    def _state(self) -> Arrays:
        return {name: array.copy() for name, array in self._weights.items()}

    def _load(self, state: Mapping[str, Array]) -> None:
        for name, array in self._weights.items():
            array[...] = state[name]


def _learns(graph: Graph) -> set[str]:
    """The nodes whose values depend on a trainable parameter."""
    found: set[str] = set()
    for node in graph.nodes:
        if any(p.trainable for p in node.parameters.values()) or any(name in found for name in node.inputs):
            found.add(node.name)
    return found
