"""Functions that older versions of ONNX have no operator for, found in the operations that stand for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Patterns:
    """The nodes of an ONNX graph, with what produces and reads each tensor, and the constants."""

    def __init__(self, nodes: list[Any], constants: dict[str, Any], outputs: set[str]) -> None:
        self.nodes = nodes
        self.constants = constants
        self.producers = {name: node for node in nodes for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        self.outputs = outputs
        for node in nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def only(self, name: str, *ops: str) -> Any | None:
        """Return the node of one of these operators that produces a tensor."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type in ops else None

    def operands(self, node: Any) -> tuple[str, float] | None:
        """Return the input that is computed and the number that is the other one, of an operator of two."""
        for x, other in (node.input[:2], node.input[1::-1]):
            if other in self.constants and self.constants[other].size == 1 and x not in self.constants:
                return x, float(self.constants[other].ravel()[0])
        return None


def gelu(found: Patterns, node: Any) -> tuple[str, str, set[int]] | None:
    """Return input, output and nodes of ½·x·(1 + erf(x / √2)), of which `node` is the Erf; None for others."""
    inner = found.only(node.input[0], "Div", "Mul")
    scale = found.operands(inner) if inner is not None else None
    if inner is None or scale is None:
        return None
    x, number = scale
    root = 1 / number if inner.op_type == "Div" else number
    if not math.isclose(root, math.sqrt(0.5), rel_tol=1e-4):
        return None
    readers = found.readers.get(node.output[0], [])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    plus = readers[0]
    one = found.operands(plus)
    if one is None or not math.isclose(one[1], 1.0):
        return None
    # (x · (1 + erf)) · ½ or (x · ½) · (1 + erf)
    readers = found.readers.get(plus.output[0], [])
    if len(readers) != 1 or readers[0].op_type != "Mul":
        return None
    times = readers[0]
    other = times.input[0] if times.input[1] == plus.output[0] else times.input[1]
    if other == x:
        readers = found.readers.get(times.output[0], [])
        half = found.operands(readers[0]) if len(readers) == 1 and readers[0].op_type == "Mul" else None
        if half is None or not math.isclose(half[1], 0.5):
            return None
        return x, readers[0].output[0], {id(inner), id(node), id(plus), id(times), id(readers[0])}
    half_node = found.only(other, "Mul", "Div")
    half = found.operands(half_node) if half_node is not None else None
    if half_node is None or half is None or half[0] != x:
        return None
    factor = half[1] if half_node.op_type == "Mul" else 1 / half[1]
    if not math.isclose(factor, 0.5):
        return None
    return x, times.output[0], {id(inner), id(node), id(plus), id(times), id(half_node)}


def layer_norm(found: Patterns, node: Any) -> tuple[list[str], str, dict[str, Any], set[int]] | None:
    """Return inputs, output, attributes and nodes of (x − mean) / √(var + eps) · w + b; `node` is the mean of x."""
    x, mean = node.input[0], node.output[0]
    axes = _axes(found, node)
    minus = next((r for r in found.readers.get(mean, []) if r.op_type == "Sub" and list(r.input) == [x, mean]), None)
    if minus is None or axes is None:
        return None
    readers = found.readers.get(minus.output[0], [])
    square = next((r for r in readers if _is_square(found, r)), None)
    if square is None:
        return None
    chain = [node, minus, square]
    for op in ("ReduceMean", "Add", "Sqrt"):
        readers_ = found.readers.get(chain[-1].output[0], [])
        if len(readers_) != 1 or readers_[0].op_type != op:
            return None
        chain.append(readers_[0])
    if _axes(found, chain[3]) != axes:
        return None
    eps = found.operands(chain[4])
    readers_ = found.readers.get(chain[-1].output[0], [])
    if eps is None or len(readers_) != 1 or readers_[0].op_type != "Div" or readers_[0].input[0] != minus.output[0]:
        return None
    chain.append(readers_[0])
    inputs = [x]
    for op in ("Mul", "Add"):
        readers_ = found.readers.get(chain[-1].output[0], [])
        if len(readers_) != 1 or readers_[0].op_type != op:
            return None
        other = next((name for name in readers_[0].input if name != chain[-1].output[0]), "")
        if other not in found.constants:
            return None
        inputs.append(other)
        chain.append(readers_[0])
    return inputs, chain[-1].output[0], {"epsilon": eps[1], "axes": axes}, {id(n) for n in chain}


def _axes(found: Patterns, node: Any) -> list[int] | None:
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    if len(node.input) > 1 and node.input[1] in found.constants:
        return [int(n) for n in np.ravel(found.constants[node.input[1]])]
    return None


def _is_square(found: Patterns, node: Any) -> bool:
    if node.op_type == "Mul":
        return bool(node.input[0] == node.input[1])
    exponent = found.operands(node) if node.op_type == "Pow" else None
    return exponent is not None and exponent[1] == 2
