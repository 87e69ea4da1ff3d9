"""Run the examples of a spec as doctests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.examples import as_batch
from cnnspec.graph.spec import Example, Spec
from cnnspec.runtime.build import build
from cnnspec.runtime.model import Model


@dataclass(frozen=True)
class Outcome:
    """The result of an example on a backend, and the largest difference from the expected output."""

    example: Example
    backend: str
    expected: Array
    actual: Array
    difference: float
    passed: bool


def run_examples(spec: Spec, backend: str, seed: int = 0, **options: Any) -> list[Outcome]:
    """Run every example on a backend, in float64; `options` are those of the backend."""
    if not spec.examples:
        return []  # without building a model, which may be too large
    model: Model = build(spec, backend, seed=seed, dtype="float64", **options)
    found = []
    for example in spec.examples:
        x = as_batch(example.input, spec.input.shape)
        expected = as_batch(example.output, spec.graph.output.shape, len(x))
        actual = model.predict(x)
        difference = np.abs(actual - expected)
        bound = example.tolerance * np.maximum(1.0, np.abs(expected))
        passed = bool((difference <= bound).all())
        found.append(Outcome(example, backend, expected, actual, float(difference.max()), passed))
    return found
