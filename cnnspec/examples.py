"""The examples of a spec, run as the doctests that they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array
from cnnspec.backend import Model
from cnnspec.graph.graph import Example, Graph
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.models import build


@dataclass(frozen=True)
class Outcome:
    """One example on one backend: what came out, and the largest difference from what should have."""

    example: Example
    backend: str
    expected: Array
    actual: Array
    difference: float
    passed: bool


def as_batch(numbers: Numbers, shape: Shape, count: int = 1) -> Array:
    """Numbers of the spec as a batch: [n, ...]."""
    if not numbers.shape:
        return np.full((count, *shape), numbers.values[0])
    return np.array(numbers.values).reshape(numbers.samples(shape) or 1, *shape)


def example_data(graph: Graph) -> tuple[Array, Array]:
    """The inputs [n, ...] and the outputs [n, ...] of all examples, one below the other."""
    x, y = [], []
    for example in graph.examples:
        x.append(as_batch(example.input, graph.input.shape))
        y.append(as_batch(example.output, graph.output.shape, len(x[-1])))
    return np.concatenate(x), np.concatenate(y)


def run_examples(graph: Graph, backend: str, seed: int = 0) -> list[Outcome]:
    """Every example on a backend, in float64."""
    if not graph.examples:
        return []  # no model is built, which might be too large to
    model: Model = build(graph, backend, seed=seed, dtype="float64")
    found = []
    for example in graph.examples:
        x = as_batch(example.input, graph.input.shape)
        expected = as_batch(example.output, graph.output.shape, len(x))
        actual = model.predict(x)
        difference = np.abs(actual - expected)
        bound = example.tolerance * np.maximum(1.0, np.abs(expected))
        passed = bool((difference <= bound).all())
        found.append(Outcome(example, backend, expected, actual, float(difference.max()), passed))
    return found
