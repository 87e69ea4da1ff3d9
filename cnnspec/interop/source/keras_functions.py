"""Functions, rearrangements and merges in Keras: layers without arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, code, depth, function, joined, number
from cnnspec.interop.source.keras_step import Link, Place, Write, axis_of, called, last, layer, of, rank
from cnnspec.interop.source.text import Argument, Call, Slot, Text
from cnnspec.layers import Shape
from cnnspec.layers.axes import short_form
from cnnspec.layers.sampling import Sampling

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
    axis = number(axis_of(own.position(node.shape), node.shape), "axis", place.owner, "axis", -1)
    return [layer("Softmax", axis, place=place)]


def _log_softmax(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axis = axis_of(own.position(node.shape), node.shape)
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


# Rearrangements


def _flatten(node: Node, place: Place) -> list[Link]:
    """Flatten, behind a Permute where the order of the numbers is that of channels first."""
    first = node.in_shapes[0]
    one_order = first[0] == 1 or all(n == 1 for n in first[1:])
    links = [] if one_order else [_permute((*[rank(node) + 1], *range(1, rank(node) + 1)), place, "_order")]
    return [*links, layer("Flatten", place=place)]


def _reordered(node: Node, place: Place) -> list[Link]:
    """Return Reshape, Permute and Reshape, each where it does something."""
    own: Any = node.layer
    before, after = node.in_shapes[0], node.shape
    sizes, order = own.split(before)
    parts = _grouped(sizes, before)
    joins = _grouped([sizes[axis] for axis in order], after)
    if parts is None or joins is None:  # across the axes: in the order of channels first
        channels_first = [_permute((len(before), *range(1, len(before))), place, "_order")] if len(before) > 1 else []
        channels_last = [_permute((*range(2, len(after) + 1), 1), place)] if len(after) > 1 else []
        return [*channels_first, _reshape(after, place, "_shape" if channels_last else ""), *channels_last]
    mine = [axis for group in last(parts) for axis in group]
    made = [order[axis] for group in last(joins) for axis in group]
    split, turned = tuple(sizes[axis] for axis in mine), tuple(sizes[axis] for axis in made)
    links = []
    if split != last(before):
        links.append(_reshape(split, place, "_split"))
    if mine != made:
        links.append(_permute(tuple(1 + mine.index(axis) for axis in made), place, "_order"))
    if turned != last(after) or not links:
        links.append(_reshape(last(after), place))
    return links


def _grouped(sizes: Sequence[int], shape: Shape) -> list[list[int]] | None:
    """Return the parts that each axis of a shape is split into, by their places; None where they are no such parts."""
    groups, i = [], 0
    for n in shape:
        group: list[int] = []
        product = 1
        while product < n and i < len(sizes):
            product, i = product * sizes[i], i + 1
            group.append(i - 1)
        if product != n:
            return None
        groups.append(group)
    groups[-1] += range(i, len(sizes))
    return groups


def _permute(order: tuple[int, ...], place: Place, suffix: str = "") -> Link:
    return layer("Permute", code(f"({', '.join(map(str, order))})"), place=place, suffix=suffix)


def _reshape(shape: Shape, place: Place, suffix: str = "") -> Link:
    return layer("Reshape", number(shape, "sizes", place.owner), place=place, suffix=suffix)


def _channel_shuffle(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    return [of("channel_shuffle", number(own.groups, "shuffle_groups", place.owner))]


def _upsample(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    scales = own.scales(node.shape)
    if own.mode == "nearest":
        return [layer(f"UpSampling{rank(node)}D", number(short_form(scales), "scale", place.owner), place=place)]
    samplings = (Sampling.to_size(n, n * s, "half_pixel") for n, s in zip(node.in_shapes[0][1:], scales, strict=True))
    return [_resampled(tuple(samplings), "linear", {}, place)]


def _resize(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    further = {"nearest": {"rounding": f'"{own.rounding}"'}, "cubic": {"a": str(own.cubic_coeff)}}
    return [_resampled(own.samplings(node.in_shapes[0]), own.method, further.get(own.method, {}), place)]


def _resampled(samplings: tuple[Sampling, ...], mode: str, further: dict[str, str], place: Place) -> Link:
    size = number(tuple(s.out for s in samplings), "size", place.owner)
    steps = ", ".join(f"({s.step.numerator}, {s.step.denominator})" for s in samplings)
    half_pixel = str(samplings[0].coordinates == "half_pixel")
    arguments = (size, code(f"[{steps}]"), code(half_pixel, "half_pixel"), code(f'"{mode}"', "mode"))
    constructor = Call("Resize", (*arguments, *(code(v, k) for k, v in further.items()), place.name()))
    return Link(lambda inputs: called((constructor,), inputs))


def _slice(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    channels, *spatial = zip(own.parts(node.in_shapes[0]), node.in_shapes[0], strict=True)

    def make(inputs: Sequence[Expression]) -> Expression:
        bounds = [_bounds(part, n, "size", place) for part, n in spatial]
        whole = all(bound == (":",) for bound in bounds)
        if spatial and whole:
            bounds = [("...",)]
        if (own_bounds := _bounds(*channels, "channels", place)) != (":",):
            bounds.append(own_bounds)
        text: Text = () if bounds[0] == ("...",) else (":",)
        for bound in bounds:
            text = (*text, ", " if text else "", *bound)
        return Expression((*inputs[0].as_atom, "[", *text, "]"), depth=depth(inputs))

    return [Link(make)]


def _bounds(part: slice, n: int, role: str, place: Place) -> Text:
    """Return the code of a slice of n elements."""
    start: Text = (Slot(part.start, role, place.owner),) if part.start else ()
    stop: Text = (Slot(part.stop, role, place.owner),) if part.stop is not None and part.stop < n else ()
    return (*start, ":", *stop, *((f":{part.step}",) if part.step not in (None, 1) else ()))


def _reduce(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axes = tuple(axis_of(axis, node.shape) for axis in own.positions(node.in_shapes[0]))
    where = code(str(last(axes)) if len(axes) > 1 and axes[0] == -1 else str(axes) if len(axes) > 1 else str(axes[0]))
    return [of(f"ops.{own.mode}", Argument(where.text, "axis"), code("True", "keepdims"))]


# Merges


def _broadcast(node: Node, inputs: Sequence[Expression], place: Place) -> list[Expression]:
    """Return the inputs, with axes of size one for those that others have beyond a vector's."""
    found = []
    for x, shape, i in zip(inputs, node.in_shapes, range(len(inputs)), strict=True):
        if (missing := len(node.shape) - len(shape)) and shape:
            x = _reshape(last((*shape, *[1] * missing)), place, f"_{i}").make([x])
        found.append(x)
    return found


def _merge(name: str) -> Write:
    """Return how a merge is written that is a layer of Keras."""

    def write(node: Node, place: Place) -> list[Link]:
        constructor = Call(f"layers.{name}", (place.name(),))
        return [Link(lambda inputs: called((constructor,), _broadcast(node, inputs, place)))]

    return write


def _operator(sign: str) -> Write:
    return lambda node, place: [Link(lambda inputs: joined(sign, _broadcast(node, inputs, place)))]


def _matmul(node: Node, place: Place) -> list[Link]:
    """The product in the order of channels first."""
    most = len(node.shape)

    def make(inputs: Sequence[Expression]) -> Expression:
        turned = []
        for x, shape in zip(inputs, node.in_shapes, strict=True):
            x = function("ops.moveaxis", [x], code("-1"), code("1"))
            missing = most - len(shape)
            turned.append(function("ops.expand_dims", [x], code("1")) if missing == 1 else x)
            if missing == 2:
                turned[-1] = function("ops.expand_dims", [x], code("(1, 2)"))
        return function("ops.moveaxis", [function("ops.matmul", turned)], code("1"), code("-1"))

    return [Link(make)]


def _concat(node: Node, place: Place) -> list[Link]:
    own: Any = node.layer
    axis = number(axis_of(own.position(node.shape), node.shape), "axis", place.owner, "axis", -1)
    constructor = Call("layers.Concatenate", (axis, place.name()))
    return [Link(lambda inputs: called((constructor,), inputs))]


FUNCTIONS: dict[str, Write] = {
    "relu": lambda node, place: [layer("ReLU", place=place)],
    "relu6": lambda node, place: [layer("ReLU", code("6.0"), place=place)],
    "leaky_relu": _leaky_relu,
    "elu": lambda node, place: [
        layer("ELU", number(getattr(node.layer, "alpha"), "alpha", place.owner, "alpha", 1.0), place=place)  # noqa: B009
    ],
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
    "flatten": _flatten,
    "reshape": _reordered,
    "permute": _reordered,
    "depth_to_space": _reordered,
    "space_to_depth": _reordered,
    "upsample": _upsample,
    "resize": _resize,
    "channel_shuffle": _channel_shuffle,
    "slice": _slice,
    "reduce": _reduce,
    "add": _merge("Add"),
    "subtract": _operator("-"),
    "multiply": _merge("Multiply"),
    "divide": _operator("/"),
    "maximum": _merge("Maximum"),
    "minimum": _merge("Minimum"),
    "mean": _merge("Average"),
    "matmul": _matmul,
    "concat": _concat,
}
"""How each kind without arrays is written."""
