"""The network of an import as it grows: values and constants of the foreign graph, layers and arrays of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.build import GraphBuilder
from cnnspec.graph.graph import Node
from cnnspec.interop.importer.paths import Paths
from cnnspec.interop.importer.view import BATCH, View
from cnnspec.layers import Layer, Shape, ShapeError
from cnnspec.layers.dense import Flatten
from cnnspec.layers.geometry import MOST_SIZES, axes_of
from cnnspec.layers.rearrange import DepthToSpace, Permute, Reshape, SpaceToDepth
from cnnspec.layers.shape import ChannelShuffle
from cnnspec.wording import format_shape


class Unsupported(Exception):
    """An operation without counterpart; the message says why."""


class Place(NamedTuple):
    """A module of the foreign model: its path, and whether it consists of others."""

    path: str
    has_parts: bool

    def name_for(self, kind: str, ordinal: int) -> str:
        """Return a name for a layer of the module: its path, or the kind within a module of others.

        A name in a model that has none is no default one, `add_1`, which another layer may be called.
        """
        if not self.path:
            return f"{kind}_{ordinal}"
        return f"{self.path}.{kind}" if self.has_parts else self.path


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that depends on the inputs: a node's value in a view."""

    node: str
    view: View

    @property
    def shape(self) -> Shape:
        """The shape of the tensor, with the batch."""
        return self.view.shape

    def seen(self, view: View) -> Value:
        """Return the same numbers in another view."""
        return Value(self.node, view)


Operand = Value | Array
"""What an operation reads: a tensor that depends on the inputs, or a constant."""


class Network:
    """Layers as they are added, in names that are temporary.

    `batch` is the number that stands for the size of the batch in the shapes of the foreign graph.
    """

    def __init__(self, name: str, batch: int) -> None:
        self.batch = batch
        self.builder = GraphBuilder(name)
        self.arrays: dict[str, Array] = {}
        self.paths = Paths()
        """Where arrays come from, if that becomes the names of layers."""
        self.place: Place | None = None
        """The module that is being added, if known."""
        self.places: dict[str, Place | None] = {}
        """The module that each node comes from."""
        self._weights: dict[int, Node] = {}
        """The first node that has an array as its weight, by the array's identity."""
        self._transformed: dict[tuple[int, str], tuple[Array, Array]] = {}

    def input(self, name: str, shape: Shape, batched: bool = True) -> Value:
        """Add an input [n, *shape]; the tensor lacks the axis of the batch unless it is `batched`."""
        self._check_rank(shape)
        found = self.value(self.builder.input(shape, name))
        return found if batched else found.seen(found.view.without(0))

    def value(self, node: Node) -> Value:
        """Return the value of a node as it is."""
        return Value(node.name, View.of(self.batch, node.shape))

    def add(
        self,
        layer: Layer,
        *inputs: str,
        arrays: Mapping[str, Array] | None = None,
        branches: tuple[str, ...] = (),
    ) -> Value:
        """Add a layer that reads nodes, with its arrays; raise Unsupported where it does not fit them.

        Where another layer of the kind has the same array object as weight, the two share all of them.
        """
        name = f"{len(self.builder.nodes)}"
        given = dict(arrays or {})
        self.places[name] = self.place
        path = self.place.path if self.place else ""
        if path and not any(self.paths.of(array) for array in given.values()):
            for key, array in given.items():
                self.paths.add(array, f"{path}.{key}")
        weight = given.get("weight")
        owner = self._weights.get(id(weight)) if weight is not None and weight.ndim > 1 else None
        names = None
        if owner is not None and owner.layer == layer and self._same(owner, given):
            names = {key: owner.arrays[key] for key in given}
        try:
            node = self.builder.add(name, layer, inputs, branches=branches, arrays=names)
        except ShapeError as error:
            raise Unsupported(error.message.format(name=layer.kind)) from error
        for key, parameter in node.parameters.items():
            if key not in given or given[key].shape != parameter.shape:
                got = format_shape(given[key].shape) if key in given else "missing"
                raise Unsupported(f"its {key} is {got}, and {format_shape(parameter.shape)} for {layer.kind}")
            self.arrays[node.arrays[key]] = given[key]
        if weight is not None:
            self._weights.setdefault(id(weight), node)
        return self.value(node)

    def _same(self, owner: Node, given: Mapping[str, Array]) -> bool:
        return all(
            key in owner.arrays and np.array_equal(self.arrays[owner.arrays[key]], a) for key, a in given.items()
        )

    def transformed(self, array: Array, how: str, function: Callable[[Array], Array]) -> Array:
        """Return a function of an array, the same object each time, so that layers can share it."""
        key = (id(array), how)
        if key not in self._transformed:
            self._transformed[key] = (array, function(array))  # with the array, whose identity is the key
            self.paths.add(self._transformed[key][1], self.paths.of(array))
        return self._transformed[key][1]

    def node(self, value: Value) -> Node:
        """Return the node that a value is a view of."""
        found = self.builder.find(value.node)
        assert found is not None
        return found

    # Views

    def plain(self, value: Value) -> Value:
        """Return the tensor as the value of a node [n, c, ...], with the layers that move its numbers there."""
        view = value.view.with_batch()
        if not view.batch_first:
            raise Unsupported(f"the first axis of {self.described(value)} is not the batch alone")
        target = view.shape[1:]
        node = self.node(value)
        if not target:
            raise Unsupported("a sample of it is a single number without an axis")
        self._check_rank(target)
        wanted = view.simplified()
        if wanted.order == tuple(range(len(wanted.factors))):
            return self._reshaped(value.node, target)
        for layer, sizes, order in _rearrangements(node.shape, target):
            whole = View.of(self.batch, node.shape).reshaped((self.batch, *sizes))
            if whole is not None:
                moved = whole.transposed((0, *(1 + i for i in order))).reshaped((self.batch, *target))
                if moved is not None and moved.simplified() == wanted:
                    return self.add(layer, value.node)
        sizes = wanted.factors[1:]
        if not 2 <= len(sizes) <= MOST_SIZES:
            raise Unsupported(f"{len(sizes)} axes are put in another order, and a layer has at most {MOST_SIZES}")
        names = axes_of(sizes)
        whole_node = self._reshaped(value.node, sizes).node
        permuted = self.add(Permute(axes=tuple(names[i - 1] for i in wanted.order[1:])), whole_node)
        return self._reshaped(permuted.node, target)

    def plain_like(self, value: Value) -> Value:
        """Return the tensor as a node's value, with the axis of the batch where the tensor has it, or without one."""
        view = value.view
        if not view.has_batch:
            plain = self.plain(value)
            return plain.seen(plain.view.without(0))
        if view.batch_first or (BATCH,) not in view.axes:
            return self.plain(value)
        order = [view.axes.index((BATCH,))]
        order += [axis for axis in range(len(view.axes)) if axis not in order]
        plain = self.plain(value.seen(view.transposed(order)))
        return plain.seen(plain.view.transposed([order.index(axis) for axis in range(len(order))]))

    def image(self, value: Value) -> Value:
        """Return the tensor [n, c, ...] as a node's value, for an operation whose axes are these."""
        if not value.view.has_batch:
            raise Unsupported("the tensors of the model have no batch, which its first axis is")
        return self.plain(value)

    def _reshaped(self, node: str, shape: Shape) -> Value:
        found = self.builder.find(node)
        assert found is not None
        if found.shape == shape:
            return self.value(found)
        return self.add(Flatten() if len(shape) == 1 else Reshape(shape=shape), node)

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """Return the tensor in another shape, with the batch."""
        view = value.view.reshaped(shape)
        batched = value.view.has_batch
        if view is None and (not batched or (value.view.batch_first and shape[0] == self.batch)):
            value = self.plain_like(value)
            view = value.view.reshaped(shape)
            if view is None:
                found = self._reshaped(value.node, shape[1:] if batched else shape)
                return found if batched else found.seen(found.view.without(0))
        if view is None:
            raise Unsupported(f"a reshape of {self.described(value)} to {self.described_shape(shape)} moves the batch")
        return value.seen(view)

    def sample_axis(self, value: Value, axis: int) -> int | None:
        """Return which axis of the node's sample an axis of the tensor is; None where it is part of one, or several."""
        view, sizes = value.view, self.node(value).shape
        part = [i for i in view.axes[axis] if view.factors[i] != 1 or i == BATCH]
        if not part or BATCH in part or part != list(range(part[0], part[0] + len(part))):
            return None
        outer, size = math.prod(view.factors[1 : part[0]]), math.prod(view.factors[i] for i in part)
        for place, n in enumerate(sizes):
            if math.prod(sizes[:place]) == outer and n == size:
                return place
        return None

    def along(self, value: Value, *axes: int) -> tuple[Value, tuple[str, ...]]:
        """Return the tensor, moved where need be, and the names that these of its axes have there."""
        places = [self.sample_axis(value, axis) for axis in axes]
        if None in places:
            value = self.plain_like(value)
            # The factors are the sample's own axes now, one for each axis of the tensor.
            places = [value.view.axes[axis][0] - 1 for axis in axes]
        names = axes_of(self.node(value).shape)
        return value, tuple(names[place] for place in places if place is not None)

    def channels_at(self, value: Value, axis: int) -> tuple[Value, View]:
        """Return the tensor as a node's value whose channels are its `axis`, and the view that puts them back there."""
        axis %= len(value.view.axes)
        first = [i for i, factors in enumerate(value.view.axes) if factors == (BATCH,)] + [axis]
        order = [*first, *(i for i in range(len(value.view.axes)) if i not in first)]
        moved = self.plain_like(value.seen(value.view.transposed(order)))
        return moved, moved.view.transposed([order.index(i) for i in range(len(order))])

    def described(self, value: Value) -> str:
        """The shape of a tensor, as a message says it."""
        return self.described_shape(value.shape)

    def described_shape(self, shape: Sequence[int]) -> str:
        """A shape with the batch, as a message says it."""
        return (
            "[" + ", ".join("n" if size == self.batch and i == 0 else str(size) for i, size in enumerate(shape)) + "]"
        )

    def _check_rank(self, shape: Shape) -> None:
        if not 1 <= len(shape) <= MOST_SIZES:
            raise Unsupported(f"a sample of it has {len(shape)} axes; layers take 1 to {MOST_SIZES}")


def _rearrangements(shape: Shape, target: Shape) -> list[tuple[Layer, Shape, tuple[int, ...]]]:
    """Return the layers that might move [shape] to [target], each with the split and the order that it stands for."""
    found: list[tuple[Layer, Shape, tuple[int, ...]]] = []
    if shape == target and len(shape) > 1:
        for groups in range(2, shape[0]):
            if shape[0] % groups == 0:
                sizes = (groups, shape[0] // groups, *shape[1:])
                found.append((ChannelShuffle(groups=groups), sizes, (1, 0, *range(2, len(sizes)))))
    if len(shape) != len(target) or len(shape) < 2:
        return found
    pairs = list(zip(shape[1:], target[1:], strict=True))
    for cls, larger in ((DepthToSpace, True), (SpaceToDepth, False)):
        if all((out % n if larger else n % out) == 0 for n, out in pairs):
            block: Any = tuple(out // n if larger else n // out for n, out in pairs)
            for mode in ("crd", "dcr"):
                layer = cls(block=block[0] if len(set(block)) == 1 else block, mode=mode)
                if math.prod(block) > 1 and (not larger or shape[0] % math.prod(block) == 0):
                    found.append((layer, *layer.split(shape)))
    return found
