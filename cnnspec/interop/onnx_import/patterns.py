"""Layers that ONNX, or an older version of it, has no operator for, found in the operations that stand for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from cnnspec.interop.onnx_import.read import onnx_library


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
        self.fixed = set(constants)
        """The tensors that are computed from constants alone."""
        for node in nodes:
            if self.fixed.issuperset(node.input):
                self.fixed.update(node.output)
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


def rms_norm(found: Patterns, node: Any) -> Recognised | None:
    """Return RMSNormalization for x / √(mean of x² + eps) · w, of which `node` is the mean, or a sum; None for others.

    Of a sum, the attribute `count` is the number by which it is divided.
    """
    square, axes = found.producer(node.input[0], "Mul", "Pow"), _axes(found, node)
    if square is None or axes is None or not _is_square(found, square):
        return None
    x, mean = square.input[0], node
    attributes: dict[str, Any] = {"axes": axes}
    if node.op_type == "ReduceSum":
        mean = found.reader(node, "Div")
        count = found.operands(mean) if mean is not None else None
        if count is None:
            return None
        attributes["count"] = count[1]
    plus = found.reader(mean, "Add")
    eps = found.operands(plus) if plus is not None else None
    root = found.reader(plus, "Sqrt") if eps is not None else None
    last = _quotient(found, x, root) if root is not None else None
    times = found.reader(last, "Mul") if last is not None else None
    if eps is None or last is None or times is None:
        return None
    weight = next((name for name in times.input if name != last.output[0]), "")
    if weight not in found.fixed:
        return None
    return Recognised("RMSNormalization", [x, weight], attributes | {"epsilon": eps[1]}, times.output[0])


def _quotient(found: Patterns, x: str, root: Any) -> Any | None:
    """Return the operation that divides x by a root, or that multiplies it by the root's inverse."""
    inverse = found.reader(root, "Reciprocal")
    divided = found.reader(root, "Div")
    if divided is not None and list(divided.input) == [x, root.output[0]]:
        return divided
    if divided is not None and found.operands(divided, 1.0) and divided.input[1] == root.output[0]:
        inverse = divided
    times = found.reader(inverse, "Mul") if inverse is not None else None
    return times if times is not None and x in times.input else None


def max_pool(found: Patterns, node: Any) -> Recognised | None:
    """Return MaxPool with the border of −∞ before it as its padding; `node` is the MaxPool; None for others."""
    get_attribute = onnx_library().helper.get_attribute_value
    border = found.producer(node.input[0], "Pad")
    attributes = {attribute.name: get_attribute(attribute) for attribute in node.attribute}
    if border is None or len(border.input) < 3 or any(name not in found.constants for name in border.input[1:3]):
        return None
    pads, value = (found.constants[name] for name in border.input[1:3])
    rank = len(attributes.get("kernel_shape", ()))
    is_plain = (len(border.input) == 3 or not border.input[3]) and not attributes.get("ceil_mode")
    if not is_plain or (value != -np.inf).any() or pads.size != 2 * rank + 4 or pads.min() < 0:
        return None
    if pads[[0, 1, rank + 2, rank + 3]].any() or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        return None
    total = np.array(attributes.get("pads", [0] * 2 * rank)) + np.concatenate([pads[2 : rank + 2], pads[rank + 4 :]])
    return Recognised("MaxPool", [border.input[0]], attributes | {"pads": total.tolist()}, node.output[0])


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


Rule = Callable[[Patterns, Any], Recognised | None]
RULES: dict[str, tuple[Rule, ...]] = {
    "Erf": (gelu,),
    "MaxPool": (max_pool,),
    "ReduceMean": (layer_norm, rms_norm),
    "ReduceSum": (rms_norm,),
}
"""What is looked for at an operation, by its operator."""


def recognised(found: Patterns, node: Any) -> list[Recognised]:
    """Return the operators that stand for several operations, of which this is the one that is looked at."""
    every = []
    for rule in RULES.get(node.op_type, ()):
        try:
            every.append(rule(found, node))
        except (
            LookupError,
            TypeError,
            ValueError,
        ):  # of a model that is not valid: the operations by themselves say so
            continue
    return [one for one in every if one is not None]
