"""Whole networks by definition: every value, the loss, and gradients by central differences; slow by design.

Third parties add the definition of a layer of their own with `definitions.defines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.training import Train
from cnnspec.layers.norm import BatchNorm
from cnnspec.rng import dropout_mask
from cnnspec.testing import (  # noqa: F401  (which registers definitions)
    arithmetic,
    functions,
    merges,
    positions,
    rearranging,
)
from cnnspec.testing.definitions import DEFINITIONS, Array, Params, over_channels
from cnnspec.training import losses

Arrays = dict[str, Array]
Batch = Array | Mapping[str, Array]
"""The array of a network with one input (output), or arrays by the names of the nodes."""

H = 1e-5
"""Half the distance of a central difference, for numbers near one: the error is about H² in the formula, and
10⁻¹⁶ / H in the rounding."""

SAMPLED = 16
"""How many elements of an array are differentiated at most."""


def by_name(given: Batch, names: Sequence[str]) -> Arrays:
    """Return the arrays by the names of nodes; one array is that of each."""
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)


def run(graph: Graph, weights: Mapping[str, Array], x: Batch) -> Arrays:
    """Return the output of every node by name, as at inference: x [n, c, h, w] -> {name: [n, ...]}."""
    values = by_name(x, graph.inputs)
    for node in graph.nodes:
        if not node.inputs:
            continue
        values[node.name] = inference(node, weights, [values[name] for name in node.inputs])
    return values


def inference(node: Node, weights: Mapping[str, Array], inputs: list[Array]) -> Array:
    """Return the output of one layer, computed sample by sample."""
    definition = DEFINITIONS[node.kind]
    params = params_of(node, weights)
    return np.stack([definition(node.layer, node, params, *sample) for sample in zip(*inputs, strict=True)])


def params_of(node: Node, weights: Mapping[str, Array]) -> Params:
    """Return the layer's arrays by their short names."""
    return {name: weights[node.arrays[name]] for name in node.parameters}


# Training


def run_training(graph: Graph, weights: Mapping[str, Array], x: Batch, seed: int, step: int) -> tuple[Arrays, Arrays]:
    """Return what `run` does as in a training step, and the running statistics after the step."""
    values = by_name(x, graph.inputs)
    statistics: Arrays = {}
    for node in graph.nodes:
        if not node.inputs:
            continue
        inputs = [values[name] for name in node.inputs]
        if node.normalises_batch:
            definition = TRAINING_DEFINITIONS[node.kind]
            values[node.name], state = definition(node.layer, params_of(node, {**weights, **statistics}), inputs[0])
            statistics |= {node.arrays[key]: array for key, array in state.items()}
        elif node.draws:
            rate: float = node.layer.rate  # type: ignore[attr-defined]  # the trait says that there is one
            shape = (len(x), *node.layer.mask_shape(node.shape))
            kept = dropout_mask(seed, step, node.name, shape, rate)
            values[node.name] = np.where(kept, inputs[0] / (1 - rate), 0.0)
        else:
            values[node.name] = inference(node, weights, inputs)
    return values, statistics


def batch_norm_training(layer: BatchNorm, params: Params, x: Array) -> tuple[Array, Arrays]:
    """weight · (x − mean) / √(variance + eps) + bias with the mean and variance of each channel in the batch.

    x [n, c, ...] -> y [n, c, ...], and the running statistics after the step: they move by `momentum` towards those of
    the batch, the variance in its unbiased form Σ (x − mean)² / (m − 1).
    """
    channels = [functions.standardized(x[:, c], layer.eps) for c in range(x.shape[1])]
    y = over_channels(params["weight"], x[0]) * np.stack(channels, axis=1) + over_channels(params["bias"], x[0])
    m = layer.momentum
    mean = np.array([x[:, c].mean() for c in range(x.shape[1])])
    variance = np.array([x[:, c].var(ddof=1) for c in range(x.shape[1])])
    return y, {
        "running_mean": (1 - m) * params["running_mean"] + m * mean,
        "running_var": (1 - m) * params["running_var"] + m * variance,
    }


TRAINING_DEFINITIONS: dict[str, Callable[..., tuple[Array, Arrays]]] = {BatchNorm.kind: batch_norm_training}
"""The definitions in training of the layers that normalise over the batch."""


# Gradients


def central_differences(scalar: Callable[[], float], a: Array) -> Array:
    """Return (scalar at a + H less scalar at a − H) / 2H for each element of a, which is changed in place and restored.

    Of a larger array only `SAMPLED` elements, evenly spaced, are computed; the others are NaN.
    """
    da = np.full(a.shape, np.nan)
    for at in np.unique(np.linspace(0, a.size - 1, min(a.size, SAMPLED)).astype(int)):
        was = a.flat[at]
        a.flat[at] = was + H
        above = scalar()
        a.flat[at] = was - H
        below = scalar()
        a.flat[at] = was
        da.flat[at] = (above - below) / (2 * H)
    return da


def gradients(graph: Graph, weights: Mapping[str, Array], x: Batch, dy: Batch) -> tuple[Any, Arrays]:
    """Return the gradient of Σ dy · y at inference: (dx [n, c, ...], {trainable parameter: its gradient}).

    By central differences, hence independent of every backward pass; sampled as they are. dx is by name where x is.
    """
    weights = {name: array.copy() for name, array in weights.items()}
    inputs, dys = by_name(x, graph.inputs), by_name(dy, graph.outputs)

    def scalar(inputs: Arrays, dys: Arrays) -> float:
        values = run(graph, weights, inputs)
        return float(sum((d * values[name]).sum() for name, d in dys.items()))

    # A sample's output depends on no other sample, so one at a time suffices.
    found: dict[str, list[Array]] = {name: [] for name in inputs}
    for i in range(len(next(iter(inputs.values())))):
        sample = {name: array[i : i + 1].copy() for name, array in inputs.items()}
        of_sample = partial(scalar, sample, {name: d[i : i + 1] for name, d in dys.items()})
        for name, array in sample.items():
            found[name].append(central_differences(of_sample, array))
    dx = {name: np.concatenate(parts) for name, parts in found.items()}
    return dx if isinstance(x, Mapping) else dx[graph.input.name], _of_trainable(
        graph, weights, partial(scalar, inputs, dys)
    )


def loss_and_gradients(
    graph: Graph, weights: Mapping[str, Array], x: Batch, target: Batch, train: Train, step: int = 0
) -> tuple[float, Arrays]:
    """Return the loss of a batch as in training, and its gradient by each trainable parameter."""
    weights = {name: array.copy() for name, array in weights.items()}
    given = train.by_output(graph.output_names)
    targets = by_name(target, [graph.output_nodes[name].name for name in given])

    def scalar() -> float:
        values, _ = run_training(graph, weights, x, train.seed, step)
        by_output = {name: (values[graph.output_nodes[name].name], loss) for name, loss in given.items()}
        of_each = (
            loss.weight * losses.value(loss, y, targets[graph.output_nodes[name].name])
            for name, (y, loss) in by_output.items()
        )
        return sum(of_each, 0.0)

    return scalar(), _of_trainable(graph, weights, scalar)


def _of_trainable(graph: Graph, weights: Arrays, scalar: Callable[[], float]) -> Arrays:
    trainable = [name for name, parameter in graph.parameters.items() if parameter.trainable]
    return {name: central_differences(scalar, weights[name]) for name in trainable}
