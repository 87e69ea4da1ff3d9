"""The examples of a spec as arrays."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.spec import Spec
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers


def as_batch(numbers: Numbers, shape: Shape, count: int = 1) -> Array:
    """Return numbers of the spec as a batch: [n, ...]."""
    if not numbers.shape:
        return np.full((count, *shape), numbers.values[0])
    return np.array(numbers.values).reshape(numbers.samples(shape) or 1, *shape)


def example_data(spec: Spec) -> tuple[Array, Array]:
    """Return the inputs [n, ...] and the outputs [n, ...] of all examples, concatenated."""
    x, y = [], []
    for example in spec.examples:
        x.append(as_batch(example.input, spec.input.shape))
        y.append(as_batch(example.output, spec.graph.output.shape, len(x[-1])))
    return np.concatenate(x), np.concatenate(y)
