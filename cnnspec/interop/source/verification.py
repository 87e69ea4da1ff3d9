"""Comparison of source code that was executed with NumPy."""

from __future__ import annotations

from collections.abc import Callable

from cnnspec.arrays import Arrays
from cnnspec.data.inputs import random_inputs
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Graph
from cnnspec.interop.comparison import BATCHES, TOLERANCE, Difference, largest, worst
from cnnspec.runtime.build import prepare
from cnnspec.runtime.options import Execution


def compared(
    graph: Graph, arrays: Arrays, execution: Execution, run: Callable[[Arrays], Arrays], library: str
) -> Difference:
    """Return the difference of a library's outputs from those of NumPy; raise ExportError where it is too large.

    `run` computes the outputs by name of inputs by name, [n, c, ...] each.
    """
    own, found = prepare(graph, execution, arrays), []
    for n in BATCHES:
        inputs = random_inputs(graph, n, execution.seed)
        found.append(largest(own.run(inputs), run(inputs)))
    difference = worst(found)
    if not difference.relative <= TOLERANCE:
        raise ExportError(
            f"{library} computes something else than the network: its outputs differ by {difference}; {TOLERANCE:g} "
            "relative is allowed. With weights that amplify rounding, `--no-verify` writes the files all the same"
        )
    return difference
