"""Rearrangements and merges in Keras: layers without arrays that give the numbers another shape or place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, code, depth, function, joined, number
from cnnspec.interop.source.keras_step import Link, Place, Write, axis_of, called, last, layer, of, permute, rank
from cnnspec.interop.source.text import Call, Slot, Text
from cnnspec.layers import Shape
from cnnspec.layers.axes import short_form
from cnnspec.layers.sampling import Sampling

# Rearrangements


def _flatten(node: Node, place: Place) -> list[Link]:
    """Flatten, behind a Permute where the order of the numbers is that of channels first."""
    first = node.in_shapes[0]
    one_order = first[0] == 1 or all(n == 1 for n in first[1:])
    links = [] if one_order else [permute((*[rank(node) + 1], *range(1, rank(node) + 1)), place, "_order")]
    return [*links, layer("Flatten", place=place)]


def _reordered(node: Node, place: Place) -> list[Link]:
    """Return Reshape, Permute and Reshape, each where it does something."""
    own: Any = node.layer
    before, after = node.in_shapes[0], node.shape
    sizes, order = own.split(before)
    parts = _grouped(sizes, before)
    joins = _grouped([sizes[axis] for axis in order], after)
    if parts is None or joins is None:  # across the axes: in the order of channels first
        channels_first = [permute((len(before), *range(1, len(before))), place, "_order")] if len(before) > 1 else []
        new = own.shape if node.kind == "reshape" else after
        channels_last = [permute((*range(2, len(after) + 1), 1), place)] if len(after) > 1 else []
        return [*channels_first, _reshape(new, place, "_shape" if channels_last else ""), *channels_last]
    mine = [axis for group in last(parts) for axis in group]
    made = [order[axis] for group in last(joins) for axis in group]
    split, turned = tuple(sizes[axis] for axis in mine), tuple(sizes[axis] for axis in made)
    links = []
    if split != last(before):
        links.append(_reshape(split, place, "_split"))
    if mine != made:
        links.append(permute(tuple(1 + mine.index(axis) for axis in made), place, "_order"))
    if turned != last(after) or not links:
        links.append(_reshape(last(after), place))
    return links


def _grouped(sizes: Sequence[int], shape: Shape) -> list[list[int]] | None:
    """Return the parts that each axis of a shape is split into, by their places; None where they are no such parts."""
    groups, i = [], 0
    for n in shape:
        group: list[int] = []
        product = 1
        while i < len(sizes) and (product < n or (n == sizes[i] == 1 and not group)):
            product, i = product * sizes[i], i + 1
            group.append(i - 1)
        if product != n:
            return None
        groups.append(group)
    groups[-1] += range(i, len(sizes))
    return groups


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
    whole: Text = (":",)
    bounds = [whole, *(_bounds(part, n, "size", place) for part, n in spatial)]
    if spatial and all(bound == whole for bound in bounds):
        bounds = [("...",)]
    if (of_channels := _bounds(*channels, "channels", place)) != whole:
        bounds.append(of_channels)

    def make(inputs: Sequence[Expression]) -> Expression:
        if len(bounds) == 1:
            return inputs[0]
        text: Text = ()
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
    axes = [axis_of(axis) for axis in own.positions(node.in_shapes[0])]
    where = code(str(tuple(axes)) if len(axes) > 1 else str(axes[0]), "axis")
    return [of(f"ops.{own.mode}", where, code("True", "keepdims"))]


# Merges


def _broadcast(node: Node, inputs: Sequence[Expression], place: Place) -> list[Expression]:
    """Return the inputs, with axes of size one for those that others have beyond a vector's."""
    found = []
    for i, (x, shape) in enumerate(zip(inputs, node.in_shapes, strict=True)):
        if missing := len(node.shape) - len(shape):
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
    axis = number(axis_of(own.position(node.shape)), "axis", place.owner, "axis", -1)
    constructor = Call("layers.Concatenate", (axis, place.name()))
    return [Link(lambda inputs: called((constructor,), inputs))]


REARRANGED: dict[str, Write] = {
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
"""How each rearrangement and each merge is written."""
