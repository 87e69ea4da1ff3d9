"""Functions in Keras, and what drops numbers: layers without arrays that keep the shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, code, depth, function, number
from cnnspec.interop.source.keras_step import Link, Place, Write, axis_of, layer, of, rank
from cnnspec.interop.source.text import Argument, Call, Slot

# Functions


def _activation(name: str) -> Write:
    """Return how a function without numbers is written."""
    return lambda node, place: [layer("Activation", code(f'"{name}"'), place=place)]


def _function(name: str, **fields: tuple[str, Any]) -> Write:
    """Return how a function of keras.ops is written; `fields` gives the keyword and the default of the layer's."""

    def write(node: Node, place: Place) -> list[Link]:
        arguments = (
            number(getattr(node.layer, field), field, place.owner, keyword, default)
            for field, (keyword, default) in fields.items()
        )
        return [of(name, *arguments)]

    return write


def _leaky_relu(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    if own.slope < 0:  # Keras refuses it
        slope = Slot(own.slope, "slope", place.owner)
        return [_where(place, code("0.0"), lambda x: (*x.as_atom, " * ", slope))]
    return [layer("LeakyReLU", number(own.slope, "slope", place.owner, "negative_slope", 0.3), place=place)]


def _elu(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    return [layer("ELU", number(own.alpha, "alpha", place.owner, "alpha", 1.0), place=place)]


def _thresholded_relu(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    return [_where(place, number(own.alpha, "alpha", place.owner), lambda x: ("0.0",))]


def _where(place: Place, threshold: Argument, other: Any) -> Link:
    """Return x where it is greater than a threshold, and else another value."""

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0]
        condition = Argument((*x.as_atom, " > ", *threshold.text))
        call = Call("ops.where", (condition, Argument(x.text), Argument(other(x))))
        return Expression((call,), depth=1 + x.depth)

    return Link(make)


def _gelu(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    if own.approximate == "none":
        return _activation("gelu")(node, place)
    return [of("ops.gelu", code("True", "approximate"))]


def _hard_sigmoid(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    if own == type(own)():
        return _activation("hard_sigmoid")(node, place)
    slope, offset = (Slot(getattr(own, name), name, place.owner) for name in ("slope", "offset"))

    def make(inputs: Sequence[Expression]) -> Expression:
        line = Expression((*inputs[0].as_atom, " * ", slope, " + ", offset), atom=False, depth=depth(inputs))
        return function("ops.clip", [line], code("0"), code("1"))

    return [Link(make)]


def _softplus(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    if own.beta == 1:
        return _activation("softplus")(node, place)
    beta = Slot(own.beta, "beta", place.owner)

    def make(inputs: Sequence[Expression]) -> Expression:
        x = inputs[0]
        call = Call("ops.softplus", (Argument((*x.as_atom, " * ", beta)),))
        return Expression((call, " / ", beta), atom=False, depth=1 + x.depth)

    return [Link(make)]


def _softmax(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axis = number(axis_of(own.position(node.shape)), "axis", place.owner, "axis", -1)
    return [layer("Softmax", axis, place=place)]


def _log_softmax(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axis = axis_of(own.position(node.shape))
    return [of("ops.log_softmax", number(axis, "axis", place.owner, "axis", -1))]


def _clip(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    low, high = (number(value, name, place.owner) for name, value in zip(("min", "max"), own.limits, strict=True))
    if math.isinf(own.limits[0]):
        return [of("ops.minimum", high)]
    return [of("ops.maximum", low)] if math.isinf(own.limits[1]) else [of("ops.clip", low, high)]


def _dropout(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    rate = number(own.rate, "rate", place.owner)
    if node.kind == "stochastic_depth":
        shape = f"(None, {', '.join(['1'] * len(node.shape))})"
        return [layer("Dropout", rate, code(shape, "noise_shape"), place=place)]
    spatial = node.kind == "spatial_dropout" and rank(node)
    return [layer(f"SpatialDropout{rank(node)}D" if spatial else "Dropout", rate, place=place)]


FUNCTIONS: dict[str, Write] = {
    "relu": lambda node, place: [layer("ReLU", place=place)],
    "relu6": lambda node, place: [layer("ReLU", code("6.0"), place=place)],
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "celu": _function("ops.celu", alpha=("alpha", 1.0)),
    "selu": _activation("selu"),
    "gelu": _gelu,
    "silu": _activation("silu"),
    "mish": _activation("mish"),
    "sigmoid": _activation("sigmoid"),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": _activation("tanh"),
    "hard_swish": _activation("hard_silu"),
    "softplus": _softplus,
    "softsign": _activation("softsign"),
    "log_sigmoid": _activation("log_sigmoid"),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "clip": _clip,
    "hard_tanh": _clip,
    "thresholded_relu": _thresholded_relu,
    "abs": _function("ops.abs"),
    "exp": _function("ops.exp"),
    "log": _function("ops.log"),
    "sqrt": _function("ops.sqrt"),
    "power": _function("ops.power", exponent=("", None)),
    "dropout": _dropout,
    "spatial_dropout": _dropout,
    "stochastic_depth": _dropout,
}
"""How each function is written."""
