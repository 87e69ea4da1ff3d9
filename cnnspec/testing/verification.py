"""Comparison of backends: the same weights and inputs, layer by layer, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.data import inputs
from cnnspec.diagnostics import Source
from cnnspec.errors import BackendError
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import AnyLoss, CrossEntropy, MeanSquaredError, Train
from cnnspec.language.load import graph_of
from cnnspec.layers.input import INPUT
from cnnspec.runtime.backend import available
from cnnspec.runtime.build import itemsize, prepare
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.weights.initial import initial

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""The largest difference of two backends, relative to the largest number of the array."""


@dataclass
class LayerDifference:
    """The difference of one layer from the reference, relative to the layer's largest number."""

    name: str
    shape: tuple[int, ...]
    actual: tuple[int, ...] = ()
    value: float = 0.0
    gradient: float | None = None
    """Of its parameters, as at inference; None for a layer without any."""
    training: float | None = None
    """Of its parameters, in a step of training; None where it has none, and in float32."""
    compared: bool = True
    """Whether its gradient is compared: not where it passes a layer whose derivative rounding alone changes."""

    def worst(self) -> float:
        """Return the largest of those that are compared; a wrong shape is an infinite difference."""
        if self.actual != self.shape:
            return float("inf")
        gradient = self.gradient if self.compared else None
        found = [difference for difference in (self.value, gradient, self.training) if difference is not None]
        return max(float("inf") if np.isnan(difference) else difference for difference in found)


@dataclass
class Comparison:
    """One backend in one data type compared with the first backend in the same data type, or alone with itself."""

    backend: str
    reference: str
    dtype: str
    tolerance: float
    layers: list[LayerDifference] = field(default_factory=list)
    input_gradient: float = 0.0
    """Of the input; the largest of several inputs."""
    input_name: str = INPUT
    """The input of that gradient."""
    loss: float | None = None
    nonsmooth: tuple[str, ...] = ()
    """Layers with a number so close to a jump of the derivative that rounding alone puts it on either side."""

    @property
    def first_mismatch(self) -> str | None:
        """The first layer beyond the tolerance: by value from the input on, then by gradient from the output back."""
        for layer in self.layers:
            if layer.actual != layer.shape or not layer.value <= self.tolerance:
                return layer.name
        for layer in reversed(self.layers):
            if not layer.worst() <= self.tolerance:
                return layer.name
        mismatch = not self.nonsmooth and not self.input_gradient <= self.tolerance
        return self.input_name if mismatch or not (self.loss or 0.0) <= self.tolerance else None

    def to_dict(self) -> dict[str, Any]:
        """Return the form that `verify --format json` prints."""
        return {
            "backend": self.backend,
            "reference": self.reference,
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "agrees": self.first_mismatch is None,
            "first_mismatch": self.first_mismatch,
            "input_gradient": self.input_gradient,
            "loss": self.loss,
            "nonsmooth": list(self.nonsmooth),
            "layers": [
                {
                    "name": layer.name,
                    "predicted": list(layer.shape),
                    "actual": list(layer.actual),
                    "value": layer.value,
                    "gradient": layer.gradient,
                    "training_gradient": layer.training,
                    "compared": layer.compared,
                }
                for layer in self.layers
            ],
        }


@dataclass
class _Results:
    """The arrays that are compared, of one backend."""

    model: Model
    values: Arrays
    outputs: Arrays
    """As `predict` computes them, which may take another way than the values of the layers."""
    dx: Arrays
    gradients: Arrays
    loss: float | None = None
    training: Arrays = field(default_factory=dict)


def difference(a: Array, b: Array, scale: float | None = None) -> float:
    """Return the largest difference, relative to a scale; by default the largest number of a."""
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
    dtypes: Sequence[str] = tuple(TOLERANCE),
    batch: int = 2,
    seed: int = Execution.seed,
    device: str = Execution.device,
    memory_limit: int | None = Execution.memory_limit,
    tolerance: float | None = None,
    **options: Any,
) -> list[Comparison]:
    """Compare backends with the first of them, whose shapes are compared with the predicted ones.

    Without `backends`, all that are available and have the data type. Each gets the same seeded weights, batch and
    output gradient. Outputs are those of the layer-by-layer run and of `predict`, and the larger difference counts. The
    gradients are those of the vector-Jacobian product at inference and, in float64, those of a
    training step. In float32 a training step of a deep network is not compared: rounding changes a batch's statistics,
    and moves numbers across a jump of an activation's derivative.

    `tolerance` takes the place of `TOLERANCE`, and is needed for other data types; BackendError where it is missing.
    Each backend gets those of `options` that it has, and runs on `device` where it has that, else on the CPU.
    """
    execution = Execution(device=device, seed=seed, memory_limit=memory_limit, options=options)
    return verify_graph(graph_of(spec), backends, dtypes, execution, batch, tolerance)


def verify_graph(
    graph: Graph,
    backends: Sequence[str] | None,
    dtypes: Sequence[str],
    execution: Execution,
    batch: int,
    tolerance: float | None,
) -> list[Comparison]:
    """Compare as `verify` does, with the options in one object, whose backend and data type are replaced."""
    found = []
    usable = available()
    for dtype in dtypes:
        names = backends or [name for name, backend in usable.items() if dtype in backend.dtypes()]
        if not names:
            raise BackendError(f"no backend has the dtype `{dtype}`")
        allowed = TOLERANCE.get(dtype) if tolerance is None else tolerance
        if allowed is None:
            known = ", ".join(TOLERANCE)
            raise BackendError(f"no tolerance is known for the dtype `{dtype}`, only for {known}: give --tolerance")
        there = [name for name in names if name in usable and execution.device in usable[name].devices()]
        if not there and set(names) <= usable.keys():
            has = "; ".join(f"{name} has {', '.join(usable[name].devices())}" for name in names)
            raise BackendError(f"there is no device `{execution.device}` here: {has}")
        reference: _Results | None = None
        for name in names:
            one = execution.on(name, dtype, usable[name].options if name in usable else ())
            if there and name not in there:
                one = replace(one, device=Execution.device)
            # A backend keeps its activations for the gradients, and the reference's are kept to compare with.
            check_memory(graph, batch, itemsize(one), execution.memory_limit)
            results = _results(graph, one, batch)
            found.append(_compared(graph, results, reference, Comparison(name, names[0], dtype, allowed)))
            reference = reference or results
    return found


def _results(graph: Graph, execution: Execution, batch: int) -> _Results:
    """Return what a backend computes for the seeded weights, batch and output gradient."""
    seed = execution.seed
    model = prepare(graph, execution, initial(graph, seed))
    x = inputs.random_inputs(graph, batch, seed)
    dy = {}
    for i, (name, node) in enumerate(graph.output_nodes.items()):
        stream = rng.stream(seed, "output gradient", *([name] if i else []))
        dy[name] = stream.standard_normal((batch, *node.shape))
    values = model.trace(x)
    outputs = model.run(x)
    dx, gradients = model.vjp(x, dy)
    dx = dx if isinstance(dx, dict) else {graph.input.name: dx}
    by_node = {graph.output_nodes[name].name: y for name, y in outputs.items()}
    results = _Results(model, values, by_node, dx, gradients)
    if model.dtype == "float64":
        losses: dict[str, AnyLoss] = {}
        targets: Arrays = dict(dy)
        for i, (name, node) in enumerate(graph.output_nodes.items()):
            classifies = len(node.shape) == 1 and node.shape[0] > 1
            losses[name] = CrossEntropy() if classifies else MeanSquaredError()
            if classifies:
                stream = rng.stream(seed, "target", *([name] if i else []))
                targets[name] = stream.integers(node.shape[0], size=batch)
        model.begin_training(Train(losses=losses, seed=seed), 1)
        results.loss, results.training = model.loss_and_gradients(x, targets)
    return results


def _compared(graph: Graph, results: _Results, reference: _Results | None, comparison: Comparison) -> Comparison:
    """Fill in the differences from the reference; the first backend is compared with itself."""
    expected = reference or results
    for node in graph.nodes:
        value = results.values[node.name]
        layer = LayerDifference(node.name, node.shape, value.shape[1:])
        found = [value, results.outputs[node.name]] if node.name in results.outputs else [value]
        layer.value = max(difference(expected.values[node.name], array) for array in found)
        trainable = [node.arrays[key] for key, p in node.parameters.items() if p.trainable]
        if trainable:
            layer.gradient = _largest(expected.gradients, results.gradients, trainable)
            if results.training:
                layer.training = _largest(expected.training, results.training, trainable)
        comparison.layers.append(layer)
    of_inputs = {name: difference(expected.dx[name], dx) for name, dx in results.dx.items()}
    comparison.input_name = max(of_inputs, key=lambda name: of_inputs[name])
    comparison.input_gradient = of_inputs[comparison.input_name]
    if results.loss is not None and expected.loss is not None:
        comparison.loss = abs(results.loss - expected.loss) / max(abs(expected.loss), 1e-12)
    if reference is not None and comparison.first_mismatch is not None:
        _skip_gradients(comparison, graph, results, reference)
    return comparison


def _skip_gradients(comparison: Comparison, graph: Graph, results: _Results, reference: _Results) -> None:
    """Mark gradients as not compared that pass a layer where rounding puts a number across a jump of the derivative.

    The values agree there, or they would be a mismatch; the derivative is another one all the same.
    """
    nonsmooth = [
        node
        for node in graph.nodes
        if node.layer.piecewise and _derivative_differs(node, comparison, results, reference)
    ]
    comparison.nonsmooth = tuple(node.name for node in nonsmooth)
    before = {node.name for node in nonsmooth}
    for node in reversed(graph.nodes):
        if node.name in before:
            before.update(node.inputs)
    arrays = {array for node in graph.nodes if node.name in before for array in node.arrays.values()}
    for layer, node in zip(comparison.layers, graph.nodes, strict=True):
        layer.compared = layer.name not in before and arrays.isdisjoint(node.arrays.values())


def _derivative_differs(node: Node, comparison: Comparison, results: _Results, reference: _Results) -> bool:
    """Return whether the layer alone, on one backend, has different derivatives at the two backends' inputs."""
    builder = GraphBuilder("one layer")
    builder.input(node.in_shapes[0])
    builder.add(node.name, node.layer, [INPUT], arrays=node.arrays)
    graph, model = builder.graph(), results.model
    state = model.state() if graph.parameters else {}
    weights = {name: state[name] for name in graph.parameters}
    alone = prepare(graph, Execution(comparison.reference, reference.model.device, model.dtype), weights)
    x, other = reference.values[node.inputs[0]], results.values[node.inputs[0]]
    dy = rng.stream(0, "kink").standard_normal((len(x), *node.shape))
    return difference(alone.vjp(x, dy)[0], alone.vjp(other, dy)[0]) > comparison.tolerance


def _largest(a: Arrays, b: Arrays, names: list[str]) -> float:
    # Of the layer, not of each array: a shift right before a batch normalization has the gradient zero, all rounding.
    scale = max(float(np.abs(a[name]).max(initial=0.0)) for name in names)
    return max(difference(a[name], b[name], scale) for name in names)
