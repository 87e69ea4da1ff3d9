"""Run the examples of a spec as doctests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.examples import example_arrays
from cnnspec.graph.spec import Example, Spec
from cnnspec.runtime.build import build
from cnnspec.runtime.model import Model


@dataclass(frozen=True)
class Outcome:
    """The result of one output of an example on a backend, and the largest difference from the expected one."""

    example: Example
    backend: str
    output: str
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
        inputs, outputs = example_arrays(example, spec.graph)
        values = model.run(inputs)
        for name, expected in outputs.items():
            difference = np.abs(values[name] - expected)
            bound = example.tolerance * np.maximum(1.0, np.abs(expected))
            passed = bool((difference <= bound).all())
            found.append(Outcome(example, backend, name, expected, values[name], float(difference.max()), passed))
    return found
