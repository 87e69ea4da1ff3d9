"""How the layers of a network are written in Keras: as calls of layers and functions, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from cnnspec.graph.graph import Node
from cnnspec.interop.source.expression import Expression, Make, depth, function, number
from cnnspec.interop.source.text import Argument, Call, Text, Value, literal
from cnnspec.layers.axes import short_form
from cnnspec.weights.keras_layouts import keras_name


@dataclass(frozen=True)
class Place:
    """Where a layer is written: the function of its block, or that of the network."""

    path: str
    """The node's name within the block."""
    module: str
    """The name within the block of the layer whose arrays it has: with shared weights, of another one."""
    in_block: bool
    """Whether the function has the block's name as its argument `name`."""
    shared: bool = False
    """Whether other layers have the same arrays."""
    non_negative: bool = False
    """Whether no number of the input is below zero."""

    @property
    def owner(self) -> str:
        """The last part of the layer's name, after which its numbers are called."""
        return self.path.rpartition(".")[2]

    def name(self, suffix: str = "", weights: bool = False) -> Argument:
        """Return the argument that names a Keras layer; `weights` says whether it has the arrays."""
        path = self.module if weights else self.path
        return Argument((name_code(f"{path}{suffix}", self.in_block),), "name")


def name_code(path: str, in_block: bool) -> str:
    """Return the code of a Keras layer's name."""
    return f'f"{{name}}_{keras_name(path)}"' if in_block else f'"{keras_name(path)}"'


Size = TypeVar("Size")


class Link(NamedTuple):
    """One call in the code of a layer: of a Keras layer, or of a function."""

    make: Make
    """The value, with the Keras layer made where it is called."""
    constructor: Call | None = None
    """What makes the Keras layer, of one that has arrays."""
    times: int = 1
    """How often the layer is given its input: attention takes it as query and as value."""
    suffix: str = ""
    """What the name of a Keras layer with arrays has behind that of the spec's layer."""


Write = Callable[[Node, Place], list[Link]]
"""Writes a node as calls: the first has its inputs, each other one the result of the one before it."""


def layer(
    name: str, *arguments: Argument, place: Place, suffix: str = "", weights: bool = False, times: int = 1
) -> Link:
    """Return the call of a layer of Keras; `weights` says whether it has the node's arrays."""
    constructor = Call(f"layers.{name}", (*arguments, place.name(suffix, weights)))
    return Link(lambda inputs: called((constructor,), inputs, times), constructor if weights else None, times)


def own_layer(name: str, *arguments: Argument, place: Place, suffix: str = "") -> Link:
    """Return the call of a layer of a class that stands in the file."""
    constructor = Call(name, (*arguments, place.name(suffix, weights=True)))
    return Link(lambda inputs: called((constructor,), inputs), constructor, suffix=suffix)


def called(made: Text, inputs: Sequence[Expression], times: int = 1) -> Expression:
    """Return the call of a layer with one tensor or a list of them."""
    given: Text = inputs[0].text
    if len(inputs) > 1:
        given = ("[",)
        for i, x in enumerate(inputs):
            given = (*given, ", " if i else "", *x.text)
        given = (*given, "]")
    return Expression((*made, Call("", (Argument(given),) * times)), depth=1 + depth(inputs))


def of(name: str, *arguments: Argument) -> Link:
    """Return the call of a function of the tensor."""
    return Link(lambda inputs: function(name, inputs, *arguments))


# Shapes and numbers


def last(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Return the shape of a sample with its channels last."""
    return (*shape[1:], shape[0])


def axis_of(position: int) -> int:
    """Return the axis of a batch in Keras for one of a sample; −1 is the channels."""
    return position if position else -1


def rank(node: Node) -> int:
    """Return the number of spatial axes of the input."""
    return len(node.in_shapes[0]) - 1


def sides(pads: Sequence[tuple[int, int]]) -> Value:
    """Return pads in the shortest form that Keras takes: one number, one for each axis, or two for each."""
    if any(before != after for before, after in pads):
        return tuple(pads) if len(pads) > 1 else pads[0]
    return short_form(before for before, _ in pads)


def permute(order: tuple[int, ...], place: Place, suffix: str = "") -> Link:
    """Return the Permute of the axes, of which the batch is 0."""
    return layer("Permute", Argument((literal(order),)), place=place, suffix=suffix)


def padding(name: str, pads: Sequence[tuple[int, int]], place: Place, suffix: str) -> list[Link]:
    """Return the ZeroPadding or Cropping of these numbers, if any of them is not zero."""
    if not any(map(any, pads)):
        return []
    given = number(sides(pads), "padding", place.owner)
    return [layer(f"{name}{len(pads)}D", given, place=place, suffix=suffix)]
