"""Activations and merges as nodes of an ONNX model."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own

# Activations


def _op(op: str, **attributes: Any) -> Emit:
    return lambda e, node, xs, own: e.add(op, xs, **attributes)


def _with(op: str, **fields: str) -> Emit:
    """Return an emitter of a node whose attributes are fields of the layer."""
    return lambda e, node, xs, own: e.add(op, xs, **{key: getattr(node.layer, name) for key, name in fields.items()})


def _relu6(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Clip", [*xs, e.constant(0.0), e.constant(6.0)])


def _prelu(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    (size,) = e.arrays[own["weight"]].shape
    return e.add("PRelu", [*xs, e.array_as(own["weight"], (size, *[1] * (len(node.shape) - 1)))])


def _gelu(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    (x,) = xs
    if e.since(20):
        return e.add("Gelu", [x], approximate=layer.approximate)
    if layer.approximate == "none":
        inner = e.add("Erf", [e.add("Mul", [x, e.constant(math.sqrt(1 / 2))])])
    else:  # tanh(√(2/π) · (x + 0.044715 · x³))
        cube = e.add("Mul", [e.add("Pow", [x, e.constant(3.0)]), e.constant(0.044715)])
        inner = e.add("Tanh", [e.add("Mul", [e.add("Add", [x, cube]), e.constant(math.sqrt(2 / math.pi))])])
    half = e.add("Mul", [x, e.constant(0.5)])
    return e.add("Mul", [half, e.add("Add", [inner, e.constant(1.0)])])


def _mish(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    if e.since(18):
        return e.add("Mish", xs)
    return e.add("Mul", [*xs, e.add("Tanh", [e.add("Softplus", xs)])])


def _celu(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    if e.dtype == np.float32:  # the only data type of the operator
        return e.add("Celu", xs, alpha=layer.alpha)
    alpha = e.constant(layer.alpha)
    return e.add("Mul", [e.add("Elu", [e.add("Div", [*xs, alpha])]), alpha])


def _clip(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    limits = ["" if limit is None else e.constant(limit) for limit in (layer.min, layer.max)]
    return e.add("Clip", [*xs, *limits] if limits[1] else [*xs, limits[0]])


def _log_sigmoid(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Neg", [e.add("Softplus", [e.add("Neg", xs)])])


def _power(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return e.add("Pow", [*xs, e.constant(layer.exponent)])


def _along_axis(op: str) -> Emit:
    """Return an emitter of a function along the layer's axis."""

    def emit(e: Emitter, node: Node, xs: Names, own: Own) -> str:
        layer: Any = node.layer
        return e.add(op, xs, axis=1 + layer.position(node.shape))

    return emit


def _silu(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return e.add("Mul", [*xs, e.add("Sigmoid", xs)])


def _softplus(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    if layer.beta == 1:
        return e.add("Softplus", xs)
    beta = e.constant(layer.beta)
    return e.add("Div", [e.add("Softplus", [e.add("Mul", [*xs, beta])]), beta])


# Merges


def _add(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    return reduce(lambda a, b: e.add("Add", [a, b]), xs)


def _broadcast(op: str) -> Emit:
    """Return an emitter of a chain of operators, over inputs with as many axes as the output."""

    def emit(e: Emitter, node: Node, xs: Names, own: Own) -> str:
        return reduce(lambda a, b: e.add(op, [a, b]), _images(e, node, xs))

    return emit


def _mean(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    if len(set(node.in_shapes)) == 1:
        return e.add("Mean", xs)
    # ONNX's reference evaluator does not broadcast a mean.
    total = reduce(lambda a, b: e.add("Add", [a, b]), _images(e, node, xs))
    return e.add("Div", [total, e.constant(float(len(xs)))])


def _images(e: Emitter, node: Node, xs: Names) -> list[str]:
    """Return the inputs with the axes of the output, of size one behind those that they have."""
    rank = len(node.shape)
    return [
        x if len(shape) == rank else e.reshape(x, *shape, *[1] * (rank - len(shape)))
        for x, shape in zip(xs, node.in_shapes, strict=True)
    ]


def _matmul(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    rank = len(node.shape)
    full = [
        x if len(shape) == rank else e.reshape(x, *[1] * (rank - len(shape)), *shape)
        for x, shape in zip(xs, node.in_shapes, strict=True)
    ]
    return e.add("MatMul", full)


def _concat(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    return e.add("Concat", xs, axis=1 + layer.position(node.shape))


EMITTERS: dict[str, Emit] = {
    "relu": _op("Relu"),
    "relu6": _relu6,
    "leaky_relu": _with("LeakyRelu", alpha="slope"),
    "prelu": _prelu,
    "elu": _with("Elu", alpha="alpha"),
    "selu": _op("Selu"),
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "sigmoid": _op("Sigmoid"),
    "hard_sigmoid": _with("HardSigmoid", alpha="slope", beta="offset"),
    "tanh": _op("Tanh"),
    "hard_swish": _op("HardSwish"),
    "softplus": _softplus,
    "softmax": _along_axis("Softmax"),
    "log_softmax": _along_axis("LogSoftmax"),
    "clip": _clip,
    "hard_tanh": _clip,
    "thresholded_relu": _with("ThresholdedRelu", alpha="alpha"),
    "celu": _celu,
    "softsign": _op("Softsign"),
    "log_sigmoid": _log_sigmoid,
    "abs": _op("Abs"),
    "exp": _op("Exp"),
    "log": _op("Log"),
    "sqrt": _op("Sqrt"),
    "power": _power,
    "add": _add,
    "multiply": _broadcast("Mul"),
    "subtract": _broadcast("Sub"),
    "divide": _broadcast("Div"),
    "maximum": _broadcast("Max"),
    "minimum": _broadcast("Min"),
    "mean": _mean,
    "matmul": _matmul,
    "concat": _concat,
}
"""An emitter for each kind of activation and merge."""
