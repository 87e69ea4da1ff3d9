"""Backends held against each other: the same weights and numbers, layer by layer, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.data import inputs
from cnnspec.diagnostics import Source
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import CrossEntropy, MeanSquaredError, Train
from cnnspec.language.load import graph_of
from cnnspec.layers.input import INPUT
from cnnspec.runtime.backend import available
from cnnspec.runtime.build import build, engine_for
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.weights.initial import initial

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""How far apart two backends may be, relative to the largest number of the array."""


@dataclass
class LayerDifference:
    """How far one layer of a backend is from the reference, relative to the layer's largest number."""

    name: str
    shape: tuple[int, ...]
    actual: tuple[int, ...] = ()
    value: float = 0.0
    gradient: float | None = None
    """Of its parameters, as at inference; None for a layer without any."""
    training: float | None = None
    """Of its parameters, in a step of training; None where it has none, and in float32."""
    judged: bool = True
    """Whether its gradient can be compared: none can that comes by way of a kink with rounding on either side."""

    def worst(self) -> float:
        """The largest of those that count; a wrong shape is infinitely far."""
        if self.actual != self.shape:
            return float("inf")
        gradient = self.gradient if self.judged else None
        found = [difference for difference in (self.value, gradient, self.training) if difference is not None]
        return max(float("inf") if np.isnan(difference) else difference for difference in found)


@dataclass
class Comparison:
    """One backend in one number format against the first backend in the same format."""

    backend: str
    dtype: str
    tolerance: float
    layers: list[LayerDifference] = field(default_factory=list)
    input_gradient: float = 0.0
    loss: float | None = None
    kinks: tuple[str, ...] = ()
    """Layers with a number so close to a kink that rounding alone put it on either side."""

    @property
    def first_apart(self) -> str | None:
        """The layer where they part, beyond the tolerance: by value from the input on, by gradient from the output."""
        for layer in self.layers:
            if layer.actual != layer.shape or not layer.value <= self.tolerance:
                return layer.name
        for layer in reversed(self.layers):
            if not layer.worst() <= self.tolerance:
                return layer.name
        apart = not self.kinks and not self.input_gradient <= self.tolerance
        return INPUT if apart or not (self.loss or 0.0) <= self.tolerance else None

    def to_dict(self) -> dict[str, Any]:
        """As `verify --format json` prints it."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "agrees": self.first_apart is None,
            "first_apart": self.first_apart,
            "input_gradient": self.input_gradient,
            "loss": self.loss,
            "kinks": list(self.kinks),
            "layers": [
                {
                    "name": layer.name,
                    "predicted": list(layer.shape),
                    "actual": list(layer.actual),
                    "value": layer.value,
                    "gradient": layer.gradient,
                    "training_gradient": layer.training,
                    "judged": layer.judged,
                }
                for layer in self.layers
            ],
        }


@dataclass
class _Numbers:
    """All that one backend says."""

    values: Arrays
    dx: Array
    gradients: Arrays
    loss: float | None
    training: Arrays


def difference(a: Array, b: Array, scale: float | None = None) -> float:
    """The largest difference, relative to a scale; by default the largest number of a."""
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    scale = float(np.abs(a).max()) if scale is None else scale
    return float(np.abs(a - b).max()) / scale if scale > 0 else float(np.abs(b).max())


def verify(
    spec: str | Path | Source | Spec | Graph,
    backends: Sequence[str] | None = None,
    *,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    batch: int = 2,
    seed: int = 0,
    device: str = "cpu",
    memory_limit: int | None = None,
) -> list[Comparison]:
    """Compares backends (all that are available) with the first; that one is also held to the predicted shapes.

    The same seeded weights, batch and output gradient go into each. The gradients are those of the vector-Jacobian
    product at inference and, in float64, those of a training step. In float32 a training step of a deep network says
    little: rounding moves a batch's statistics, and numbers close to a kink of an activation to its other side.
    """
    graph = graph_of(spec)
    backends = list(backends or available())
    found = []
    for dtype in dtypes:
        # A backend keeps its activations for the way back, and the reference's are kept to compare with.
        check_memory(graph, batch, engine_for(backends[0], dtype).dtypes()[dtype], memory_limit)
        reference: _Numbers | None = None
        for name in backends:
            model = build(graph, name, initial(graph, seed), device=device, dtype=dtype, memory_limit=memory_limit)
            numbers = _ask(model, batch, seed)
            comparison = Comparison(name, dtype, TOLERANCE[dtype])
            against = reference or numbers
            for node in graph.nodes:
                value = numbers.values[node.name]
                layer = LayerDifference(node.name, node.shape, value.shape[1:])
                layer.value = difference(against.values[node.name], value)
                learned = [f"{node.name}.{key}" for key, p in node.parameters.items() if p.trainable]
                if learned:
                    layer.gradient = _worst(against.gradients, numbers.gradients, learned)
                    if numbers.training:
                        layer.training = _worst(against.training, numbers.training, learned)
                comparison.layers.append(layer)
            comparison.input_gradient = difference(against.dx, numbers.dx)
            if reference is not None:
                _excuse(comparison, graph, backends[0], model, against.values, numbers.values)
            if numbers.loss is not None and against.loss is not None:
                comparison.loss = abs(numbers.loss - against.loss) / max(abs(against.loss), 1e-12)
            found.append(comparison)
            reference = against
    return found


def _excuse(comparison: Comparison, graph: Graph, engine: str, model: Model, a: Arrays, b: Arrays) -> None:
    """Leaves the gradients unjudged that come by way of a kink with a number on either side of it.

    The values there agree, or they would be judged; the derivative is another one all the same.
    """
    if comparison.first_apart is None:
        return
    split = [n for n in graph.nodes if n.layer.piecewise and _is_split(n, engine, model, a, b, comparison.tolerance)]
    comparison.kinks = tuple(node.name for node in split)
    before = {node.name for node in split}
    for node in reversed(graph.nodes):
        if node.name in before:
            before.update(node.inputs)
    for layer in comparison.layers:
        layer.judged = layer.name not in before


def _is_split(node: Node, engine: str, model: Model, a: Arrays, b: Arrays, tolerance: float) -> bool:
    """Whether the layer alone, on one backend, has another derivative at the one's numbers than at the other's."""
    builder = GraphBuilder("one layer")
    builder.input(node.in_shapes[0])
    builder.add(node.name, node.layer, [INPUT])
    alone = builder.graph()
    state = model.state() if alone.parameters else {}
    one = build(
        alone,
        engine,
        {name: state[name] for name in alone.parameters},
        device=model.device,
        dtype=model.dtype,
    )
    x, other = a[node.inputs[0]], b[node.inputs[0]]
    dy = rng.stream(0, "kink").standard_normal((len(x), *node.shape))
    return difference(one.vjp(x, dy)[0], one.vjp(other, dy)[0]) > tolerance


def _worst(a: Arrays, b: Arrays, names: list[str]) -> float:
    # Of the layer, not of each array: a shift right before a batch normalization has the gradient zero, all rounding.
    scale = max(float(np.abs(a[name]).max(initial=0.0)) for name in names)
    return max(difference(a[name], b[name], scale) for name in names)


def _ask(model: Model, batch: int, seed: int) -> _Numbers:
    graph = model.graph
    x = inputs.random(graph.input.shape, batch, seed).x
    dy = rng.stream(seed, "output gradient").standard_normal((batch, *graph.output.shape))
    values = model.trace(x)
    dx, gradients = model.vjp(x, dy)
    if model.dtype != "float64":
        return _Numbers(values, dx, gradients, None, {})
    shape = graph.output.shape
    classifies = len(shape) == 1 and shape[0] > 1
    model.begin_training(Train(loss=CrossEntropy() if classifies else MeanSquaredError(), seed=seed), 1)
    target = rng.stream(seed, "target").integers(shape[0], size=batch) if classifies else dy
    loss, training = model.loss_and_gradients(x, target)
    return _Numbers(values, dx, gradients, loss, training)
