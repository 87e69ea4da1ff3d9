"""The examples of a spec as arrays."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import DataError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Example, Spec
from cnnspec.layers import Shape
from cnnspec.layers.fields import Numbers
from cnnspec.wording import quoted


def as_batch(numbers: Numbers, shape: Shape, count: int = 1) -> Array:
    """Return numbers of the spec as a batch: [n, ...]."""
    if not numbers.shape:
        return np.full((count, *shape), numbers.values[0])
    return np.array(numbers.values).reshape(numbers.samples(shape) or 1, *shape)


def example_arrays(example: Example, graph: Graph) -> tuple[Arrays, Arrays]:
    """Return the inputs and the outputs of an example as batches, by name: {name: [n, ...]}."""
    shapes = {name: graph.by_name[name].shape for name in graph.inputs}
    n = max(numbers.samples(shapes[name]) or 1 for name, numbers in example.inputs.items())
    inputs = {name: as_batch(numbers, shapes[name], n) for name, numbers in example.inputs.items()}
    nodes = graph.output_nodes
    return inputs, {name: as_batch(numbers, nodes[name].shape, n) for name, numbers in example.outputs.items()}


def example_data(spec: Spec) -> tuple[Arrays, Arrays]:
    """Return the inputs and the outputs of all examples by name, concatenated: {name: [n, ...]}.

    Raises DataError where an output that is trained is not among those of an example.
    """
    found = [example_arrays(example, spec.graph) for example in spec.examples]
    for example, (_, outputs) in zip(spec.examples, found, strict=True):
        if missing := [name for name in spec.losses if name not in outputs]:
            raise DataError(f"{quoted(example.name)} gives no output `{missing[0]}`, which is trained on")
    x = {name: np.concatenate([inputs[name] for inputs, _ in found]) for name in spec.graph.inputs}
    return x, {name: np.concatenate([outputs[name] for _, outputs in found]) for name in spec.losses}
