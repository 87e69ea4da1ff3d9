"""Functions that older versions of ONNX have no operator for, found in the operations that stand for them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np


class Recognised(NamedTuple):
    """An operator that stands for several operations; the last of these makes its output."""

    op: str
    inputs: list[str]
    attributes: dict[str, Any]
    output: str


class Patterns:
    """The operations of an ONNX graph by the tensors that they make and read, and the constants."""

    def __init__(self, nodes: Iterable[Any], constants: dict[str, Any]) -> None:
        self.constants = constants
        self.producers: dict[str, Any] = {}
        self.readers: dict[str, list[Any]] = {}
        for node in nodes:
            self.producers |= dict.fromkeys(node.output, node)
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def producer(self, name: str, *ops: str) -> Any | None:
        """Return the node of one of these operators that makes a tensor."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type in ops else None

    def reader(self, node: Any, op: str) -> Any | None:
        """Return the first node of an operator that reads a node's output."""
        return next((r for r in self.readers.get(node.output[0], []) if r.op_type == op), None)

    def operands(self, node: Any, number: float | None = None, tolerance: float = 1e-6) -> tuple[str, float] | None:
        """Return the tensor and the number that an operator of two reads; None where it is another number."""
        for x, other in (node.input[:2], node.input[1::-1]):
            if other in self.constants and self.constants[other].size == 1 and x not in self.constants:
                found = float(self.constants[other].ravel()[0])
                return (x, found) if number is None or math.isclose(found, number, rel_tol=tolerance) else None
        return None

    def scaled(self, name: str, factor: float, tolerance: float = 1e-6) -> str | None:
        """Return the tensor that a tensor is a factor of, as a product or a quotient."""
        node = self.producer(name, "Mul", "Div")
        if node is None:
            return None
        found = self.operands(node, factor if node.op_type == "Mul" else 1 / factor, tolerance)
        return found[0] if found else None


def gelu(found: Patterns, node: Any) -> Recognised | None:
    """Return Gelu for ½·x·(1 + erf(x / √2)), of which `node` is the Erf; None for others."""
    x = found.scaled(node.input[0], math.sqrt(0.5), tolerance=1e-4)
    plus = found.reader(node, "Add")
    if x is None or plus is None or not found.operands(plus, 1.0):
        return None
    times = found.reader(plus, "Mul")
    if times is None:
        return None
    other = next((name for name in times.input if name != plus.output[0]), "")
    if found.scaled(other, 0.5) == x:  # (x · ½) · (1 + erf)
        return Recognised("Gelu", [x], {}, times.output[0])
    half = found.reader(times, "Mul")
    if other == x and half is not None and found.operands(half, 0.5):  # (x · (1 + erf)) · ½
        return Recognised("Gelu", [x], {}, half.output[0])
    return None


def layer_norm(found: Patterns, node: Any) -> Recognised | None:
    """Return LayerNormalization for (x − mean) / √(var + eps) · w + b, of which `node` is the mean; None for others."""
    x, axes = node.input[0], _axes(found, node)
    minus = found.reader(node, "Sub")
    if axes is None or minus is None or list(minus.input) != [x, node.output[0]]:
        return None
    square = next((r for r in found.readers.get(minus.output[0], []) if _is_square(found, r)), None)
    variance = found.reader(square, "ReduceMean") if square is not None else None
    plus = found.reader(variance, "Add") if variance is not None and _axes(found, variance) == axes else None
    eps = found.operands(plus) if plus is not None else None
    root = found.reader(plus, "Sqrt") if eps is not None else None
    if eps is None or root is None:
        return None
    last = found.reader(root, "Div")
    if last is None or list(last.input) != [minus.output[0], root.output[0]]:
        return None
    inputs = [x]
    for op in ("Mul", "Add"):
        following = found.reader(last, op)
        if following is None:
            return None
        inputs.append(next((name for name in following.input if name != last.output[0]), ""))
        last = following
    if any(name not in found.constants for name in inputs[1:]):
        return None
    return Recognised("LayerNormalization", inputs, {"epsilon": eps[1], "axes": axes}, last.output[0])


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
    return node.op_type == "Pow" and found.operands(node, 2.0) is not None
