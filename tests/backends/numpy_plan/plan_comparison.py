"""Comparison of the planned NumPy model with the layer-by-layer one, and the networks that the tests run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cnnspec_numpy
import numpy as np
from cnnspec_numpy.plan import executor
from cnnspec_numpy.plan.choice import Choice
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Method
from cnnspec_numpy.plan.methods.table import candidates
from cnnspec_numpy.plan.methods.whole import Elementwise, Kernel
from cnnspec_numpy.plan.value import Layout

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Loss, Train
from cnnspec.runtime.model import Model

EXACT = 1e-11
"""The tolerance in float64, relative to the largest number of an array."""


def network(layers: str, shape: tuple[int, ...] = (3, 8, 8)) -> Graph:
    """Return the graph of layers in flow style."""
    return cnnspec.loads(f"input: {list(shape)}\nlayers: [{layers}]\n").graph


def bundled(name: str, size: int | None = None) -> Graph:
    """Return a bundled network, for images of size × size."""
    if size is None:
        return cnnspec.load(name).graph
    channels = cnnspec.load(name).graph.input.shape[0]
    return cnnspec.load(name, input_shape=(channels, size, size)).graph


def random_weights(graph: Graph) -> Arrays:
    """Return weights that keep numbers of one size from layer to layer; variances are positive."""
    rng = np.random.default_rng(0)
    found = {}
    for name, p in graph.parameters.items():
        if not p.trainable:
            found[name] = rng.uniform(0.5, 1.5, p.shape)
        else:
            found[name] = rng.normal(0, 1, p.shape) * (1.5 / max(1, p.fan_in)) ** 0.5
    return found


def prepare(graph: Graph, numerics: str = "default", dtype: str = "float64", **options: Any) -> Model:
    """Return the NumPy model of a graph, with the same weights each time; on one thread unless an option says so."""
    options = {"threads": 1} | options
    weights = options.pop("weights", None) or random_weights(graph)
    return cnnspec_numpy.backend.prepare(graph, weights, device="cpu", dtype=dtype, numerics=numerics, **options)


def batch(graph: Graph, n: int, seed: int = 1) -> Arrays:
    """Return n samples of every input."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, *graph.by_name[name].shape)) for name in graph.inputs}


def difference(found: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest finite number; infinite where only one is finite."""
    found, expected = found.astype(float), expected.astype(float)
    assert found.shape == expected.shape
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    off = np.abs(np.where(same, 0, found - expected))
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-300)
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0) / scale)


def worst(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the largest difference in any of the arrays."""
    assert found.keys() == expected.keys()
    return max((difference(found[name], expected[name]) for name in expected), default=0.0)


def assert_same_outputs(model: Model, strict: Model, sizes: tuple[int, ...] = (2,), tolerance: float = EXACT) -> None:
    """Compare the outputs for batches of the given sizes."""
    for n in sizes:
        inputs = batch(model.graph, n)
        assert worst(model.run(inputs), strict.run(inputs)) <= tolerance, n


def trained(model: Model, n: int, loss: Loss, steps: int = 2, train: Train | None = None) -> tuple[Arrays, Arrays]:
    """Return what a model makes of some steps: the gradients, and losses, outputs, weights and optimizer state.

    Gradients come separately, since they are compared relative to the largest of all.
    """
    graph = model.graph
    model.begin_training(train or Train(loss=loss, seed=3), 1)
    gradients: Arrays = {}
    found: Arrays = {}
    for step in range(steps):
        x, target = batch(graph, n, step), targets(graph, loss, n, step)
        value, by_name = model.loss_and_gradients(x, target)
        gradients |= {f"{step} {name}": array for name, array in by_name.items()}
        found[f"{step} loss"] = np.array([value, model.step(x, target)])
        found |= {f"{step} {name}.outputs": array for name, array in model.trained_outputs.items()}
        found |= {f"{step} {name}": array for name, array in model.state().items()}
    found |= {f"state {name}": array for name, array in model.training_state().items()}
    return gradients, found


def targets(graph: Graph, loss: Loss, n: int, seed: int = 0) -> Any:
    """Return targets of n samples, as the loss takes them: an array, or one for each of several outputs by name."""
    rng = np.random.default_rng(100 + seed)
    found = {
        name: rng.integers(0, loss.classes(node.shape), (n, *loss.target_shape(node.shape)))
        if loss.targets == "classes"
        else rng.normal(size=(n, *node.shape))
        for name, node in graph.output_nodes.items()
    }
    return found if len(found) > 1 else next(iter(found.values()))


def gradient_difference(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference of gradients, relative to the largest number of all."""
    assert found.keys() == expected.keys()
    scale = max((np.abs(array).max(initial=0) for array in expected.values()), default=0) or 1e-300
    off = [np.abs(found[name].astype(float) - expected[name]).max(initial=0) for name in expected]
    return float(max(map(float, off), default=0.0) / scale)


def assert_same_training(
    model: Model, strict: Model, n: int, loss: Loss, tolerance: float = EXACT, train: Train | None = None
) -> None:
    """Compare losses, gradients, outputs, weights, running statistics and optimizer state over two steps."""
    gradients, found = trained(model, n, loss, train=train)
    expected_gradients, expected = trained(strict, n, loss, train=train)
    assert gradient_difference(gradients, expected_gradients) <= tolerance
    assert found.keys() == expected.keys()
    # Relative to the largest of their sort in the network: a mean may be zero but for rounding.
    groups: dict[str, dict[str, Array]] = {}
    for name, array in expected.items():
        groups.setdefault(name.split()[0] + name.rpartition(".")[2], {})[name] = array
    off = {key: gradient_difference({name: found[name] for name in group}, group) for key, group in groups.items()}
    assert {key: value for key, value in off.items() if value > tolerance} == {}


# Forced choices


def options_of(operation: Operation, layout: Layout, fast: bool = True) -> list[Method]:
    """Return every method that can compute an operation in a layout; the kernel, too, where it can."""
    found = candidates(operation, layout, fast)
    if not any(isinstance(method, Kernel | Elementwise) for method in found):
        found = [*found, Kernel(layout)]
    return found


def force(monkeypatch: Any, layout: Layout, index: int) -> None:
    """Let plans use one layout alone, and for each operation its candidate of that index, modulo their number."""
    choose = executor.choose

    def forced(operations: list[Operation], n: int, *rest: Any) -> list[Choice]:
        found = []
        for chosen in choose(operations, n, *rest):
            operation = chosen.operation
            if str(chosen.method) == "view":
                found.append(replace(chosen, method=type(chosen.method)(layout)))
                continue
            methods = options_of(operation, layout)
            method = methods[index % len(methods)]
            found.append(Choice(operation, method, method.cost(operation, n)))
        return found

    monkeypatch.setattr(executor, "choose", forced)


NETWORKS: dict[str, tuple[tuple[int, ...], str]] = {
    "winograd": ((9, 10, 7), "conv: {channels: 10, kernel: 3, padding: same}, relu"),
    "winograd, pool": ((8, 9, 11), "conv: {channels: 12, kernel: 3, padding: same}, max_pool: 2, sigmoid"),
    "winograd, valid": ((8, 10, 9), "conv: {channels: 6, kernel: 3, bias: false}"),
    "winograd, asymmetric": ((8, 7, 9), "conv: {channels: 5, kernel: 3, padding: {top: 2, left: 1}}"),
    "skip": ((8, 6, 6), "relu, add: {a: [conv: {channels: 8, kernel: 3, padding: same}], b: []}, relu6, flatten"),
    "conv, pool": ((3, 11, 10), "conv: {channels: 4, kernel: 5}, tanh, max_pool: 2, conv: {channels: 6, kernel: 2}"),
    "conv, odd rows, pool": ((2, 9, 9), "conv: {channels: 4, kernel: 3}, relu, max_pool: 2, flatten, dense: 3"),
    "dilated, pool": ((2, 9, 9), "conv: {channels: 3, kernel: 3, dilation: 2, padding: same}, max_pool: 2"),
    "transposed, pool": ((2, 4, 5), "conv_transpose: {channels: 3, kernel: 2, stride: 2}, max_pool: 2, silu"),
    "transposed groups, pool": ((4, 4, 5), "conv_transpose: {channels: 4, kernel: 2, groups: 2}, relu, max_pool: 2"),
    "grouped, pool": ((4, 8, 8), "conv: {channels: 6, kernel: 3, groups: 2, padding: same}, max_pool: 2"),
    "depthwise, pool": ((5, 8, 9), "conv: {channels: 5, kernel: 3, groups: 5, padding: same}, relu6, max_pool: 2"),
    "depthwise, wide": ((48, 5, 40), "conv: {channels: 48, kernel: 3, groups: 48, padding: same}"),
    "flatten read twice": ((3, 4, 5), "flatten, add: {a: [dense: 60], b: [relu], c: []}"),
    "flatten of a border": ((2, 5, 5), "relu, add: {a: [conv: {channels: 2, kernel: 3, padding: same}], b: []}, "
                            "relu, flatten, softmax"),
    "concat": ((4, 6, 6), "concat: {a: [conv: {channels: 3, kernel: 1}], b: [], c: [max_pool: {kernel: 3, stride: 1, "
               "padding: same}]}, batch_norm, relu, conv: {channels: 4, kernel: 3, padding: same}"),
    "concat of one twice": ((4, 6, 6), "relu, concat: {a: [], b: [], c: [sigmoid]}, conv: {channels: 2, kernel: 3}"),
    "concat of slices": ((4, 6, 6), "conv: {channels: 6, kernel: 1}, concat: {a: [slice: [2, 6]], b: [slice: [0, 3]]}, "
                         "channel_shuffle: 7"),
    "in place beside a view": ((4, 3, 3), "conv: {channels: 4, kernel: 1}, add: {a: [slice: [0, 4]], b: [tanh]}"),
    "sum of a view": ((4, 3, 3), "conv: {channels: 4, kernel: 1}, add: {a: [], b: [slice: [0, 4]], c: [slice: [0, 4"
                      "]]}"),
    "vector in place beside a view": ((6,), "dense: 6, add: {a: [flatten], b: [relu]}"),
    "gate": ((4, 6, 6), "conv: {channels: 6, kernel: 3}, multiply: {a: [], b: [global_avg_pool, dense: 6, sigmoid]}"),
    "pools": ((4, 9, 9), "max_pool: {kernel: 3, stride: 2, padding: 3}, avg_pool: {kernel: 3, stride: 1, padding: "
              "same}, adaptive_avg_pool: [2, 3], upsample: {scale: [3, 2], mode: bilinear}, upsample: 2, "
              "global_max_pool"),
    "norms": ((6, 4, 5), "layer_norm, group_norm: 3, local_response_norm: 3, layer_norm: {axes: all}, prelu, mish"),
    "moves": ((4, 6, 7), "pad: {padding: 3, value: 1.5}, crop: [4, 5], channel_shuffle: 2, pad: {padding: 2, mode: "
              "reflect}, slice: [1, 3]"),
    "1×1": ((6, 5, 5), "conv: {channels: 8, kernel: 1}, relu, conv: {channels: 4, kernel: 1, stride: 2}"),
    "image as slab": ((3, 8, 6), "conv: {channels: 4, kernel: [3, 1]}, conv: {channels: 4, kernel: [2, 1], stride: 2}"),
}  # fmt: skip
"""Layers behind each other, as a plan merges them, beside the conformance cases, most of which are one layer."""
