"""Parts of a file of source code: the helpers that it needs, and the shapes in its docstrings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cnnspec.graph.graph import Graph
from cnnspec.layers import Shape

Helpers = Mapping[str, tuple[str, tuple[str, ...]]]
"""The code of each function or class by its name, and the names of others that it needs."""


def helper_code(body: str, helpers: Helpers) -> str:
    """Return the helpers that the code calls, each once."""
    found: dict[str, str] = {}
    for name, (code, needs) in helpers.items():
        if re.search(rf"(?<![\w.]){name}\(", body):
            found |= {need: helpers[need][0] for need in needs} | {name: code}
    return "".join(f"{code.strip()}\n\n\n" for code in found.values())


def signature(graph: Graph, axes: Callable[[Shape], str]) -> str:
    """Return the shapes of inputs and outputs as a docstring: x [n, 1, 28, 28] -> y [n, 10]."""
    inputs = [("x" if len(graph.inputs) == 1 else name, graph.by_name[name].shape) for name in graph.inputs]
    outputs = [(name if len(graph.outputs) > 1 else "y", node.shape) for name, node in graph.output_nodes.items()]
    left, right = (", ".join(f"{name} [n, {axes(shape)}]" for name, shape in named) for named in (inputs, outputs))
    return f"{left} -> {right}."


def listed(shape: Shape) -> str:
    """Return the sizes of a shape, with commas."""
    return ", ".join(map(str, shape))
