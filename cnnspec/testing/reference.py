"""Whole networks by definition: every value, the loss, and gradients by central differences. Slow, and meant to be.

For a layer of their own, third parties add what it computes with `definitions.defines`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.training import CrossEntropy, Train
from cnnspec.layers.dense import Dropout
from cnnspec.layers.norm import BatchNorm
from cnnspec.rng import dropout_mask
from cnnspec.testing import functions
from cnnspec.testing.definitions import DEFINITIONS, Array, Params, over_channels

Arrays = dict[str, Array]

H = 1e-5
"""Half the distance of a central difference, for numbers near one: the error is about H² in the formula, and
10⁻¹⁶ / H in the rounding."""

SAMPLED = 16
"""How many elements of an array are differentiated at most."""


def run(graph: Graph, weights: Mapping[str, Array], x: Array) -> Arrays:
    """The output of every node by name, as at inference: x [n, c, h, w] -> {name: [n, ...]}."""
    values = {graph.nodes[0].name: x}
    for node in graph.nodes[1:]:
        values[node.name] = inference(node, weights, [values[name] for name in node.inputs])
    return values


def inference(node: Node, weights: Mapping[str, Array], inputs: list[Array]) -> Array:
    """One layer, sample by sample."""
    definition = DEFINITIONS[node.kind]
    params = params_of(node, weights)
    return np.stack([definition(node.layer, node, params, *sample) for sample in zip(*inputs, strict=True)])


def params_of(node: Node, weights: Mapping[str, Array]) -> Params:
    """The layer's arrays by their short names."""
    return {name: weights[f"{node.name}.{name}"] for name in node.parameters}


# Training


def run_training(graph: Graph, weights: Mapping[str, Array], x: Array, seed: int, step: int) -> tuple[Arrays, Arrays]:
    """As `run`, but as in a training step: ({name: [n, ...]}, the running statistics after it)."""
    values, statistics = {graph.nodes[0].name: x}, {}
    for node in graph.nodes[1:]:
        inputs = [values[name] for name in node.inputs]
        match node.layer:
            case BatchNorm():
                normed = batch_norm_training(node.layer, params_of(node, weights), inputs[0])
                values[node.name] = normed.y
                statistics[f"{node.name}.running_mean"] = normed.running_mean
                statistics[f"{node.name}.running_var"] = normed.running_var
            case Dropout(rate=rate):
                kept = dropout_mask(seed, step, node.name, inputs[0].shape, rate)
                values[node.name] = np.where(kept, inputs[0] / (1 - rate), 0.0)
            case _:
                values[node.name] = inference(node, weights, inputs)
    return values, statistics


@dataclass(frozen=True)
class Normed:
    """What batch norm makes of a batch while training: the output, and the statistics it leaves behind."""

    y: Array
    running_mean: Array
    running_var: Array


def batch_norm_training(layer: BatchNorm, params: Params, x: Array) -> Normed:
    """weight · (x − mean) / √(variance + eps) + bias with the mean and variance of each channel in the batch.

    x [n, c, ...] -> y [n, c, ...]

    The running statistics move by `momentum` towards them, the variance in its unbiased form Σ (x − mean)² / (m − 1).
    """
    channels = [functions.standardized(x[:, c], layer.eps) for c in range(x.shape[1])]
    y = over_channels(params["weight"], x[0]) * np.stack(channels, axis=1) + over_channels(params["bias"], x[0])
    m = layer.momentum
    mean = np.array([x[:, c].mean() for c in range(x.shape[1])])
    variance = np.array([x[:, c].var(ddof=1) for c in range(x.shape[1])])
    return Normed(y, (1 - m) * params["running_mean"] + m * mean, (1 - m) * params["running_var"] + m * variance)


def loss_of(train: Train, y: Array, target: Array) -> float:
    """The loss that the training settings name."""
    if isinstance(train.loss, CrossEntropy):
        return functions.cross_entropy(train.loss, y, target)
    return functions.mean_squared_error(train.loss, y, target)


# Gradients


def central_differences(scalar: Callable[[], float], a: Array) -> Array:
    """(scalar at a + H less scalar at a − H) / 2H for each element of a, which is changed in place and restored.

    Of a larger array only `SAMPLED` elements, spread evenly, are worked out; the others are NaN.
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


def gradients(graph: Graph, weights: Mapping[str, Array], x: Array, dy: Array) -> tuple[Array, Arrays]:
    """The gradient of Σ dy · y at inference: (dx [n, c, h, w], {trainable parameter: its gradient}).

    By central differences, so it knows nothing of how a layer is differentiated; sampled as they are.
    """
    weights = {name: array.copy() for name, array in weights.items()}

    def scalar(x: Array, dy: Array) -> float:
        return float((dy * run(graph, weights, x)[graph.output.name]).sum())

    # A sample's output depends on no other sample, so that one at a time will do.
    samples = [(x[i : i + 1].copy(), dy[i : i + 1]) for i in range(len(x))]
    dx = [central_differences(partial(scalar, *sample), sample[0]) for sample in samples]
    return np.concatenate(dx), _of_trainable(graph, weights, partial(scalar, x, dy))


def loss_and_gradients(
    graph: Graph, weights: Mapping[str, Array], x: Array, target: Array, train: Train, step: int = 0
) -> tuple[float, Arrays]:
    """The loss of a batch as in training, and its gradient by each trainable parameter."""
    weights = {name: array.copy() for name, array in weights.items()}

    def scalar() -> float:
        values, _ = run_training(graph, weights, x, train.seed, step)
        return loss_of(train, values[graph.output.name], target)

    return scalar(), _of_trainable(graph, weights, scalar)


def _of_trainable(graph: Graph, weights: Arrays, scalar: Callable[[], float]) -> Arrays:
    trainable = [name for name, parameter in graph.parameters.items() if parameter.trainable]
    return {name: central_differences(scalar, weights[name]) for name in trainable}
