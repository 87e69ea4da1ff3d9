"""What happens to a block of an operation's output while it is in the cache: bias, 2×2 maximum, elementwise stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec_numpy.kernels import Context, kernels_of_kinds
from cnnspec_numpy.plan.functions import PASSES, Call, function_of, sigmoid_of_negated, spares_of
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.value import CHANNELS_LAST, Layout, Value, to_nchw

View = Callable[[Array], Array]
"""Selects the elements of a block from an array of the output's shape."""

RUN = 1024
"""Constants are stored for at least so many elements, so that loops over them are long."""


class Constants:
    """Arrays that hold one number, shared by all steps of a plan."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._arrays: dict[float, Array] = {}

    def vector(self, value: float, size: int) -> Array:
        """Return a vector of a number."""
        found = self._arrays.get(value)
        if found is None or found.size < size:
            found = self._arrays[value] = np.full(max(size, RUN), value, self.dtype)
        return found[:size]

    def like(self, x: Array, value: float) -> Array:
        """Return an array of a number that broadcasts to x along its first axes."""
        axes = 0
        while axes < x.ndim and (axes == 0 or math.prod(x.shape[x.ndim - axes :]) < RUN):
            axes += 1
        shape = x.shape[x.ndim - axes :]
        return self.vector(value, math.prod(shape)).reshape(shape)


@dataclass
class Finish:
    """The calls that complete a block of an operation's output and write it to its place.

    `vector(node, key, count, each=1)` returns a vector over the channels, repeated: [count, c·each], computed anew when
    the weights change. `others` are the values that the stages add.
    """

    operation: Operation
    y: Value
    others: Mapping[str, Value]
    vector: Callable[..., Array]
    constants: Constants
    has_bias: bool

    @property
    def is_copy(self) -> bool:
        """Whether there is nothing to do but to put the block in its place."""
        return not self.has_bias and not self.operation.stages and self.operation.pool is None

    @property
    def layout(self) -> Layout:
        """The layout of the output."""
        return self.y.layout

    def __call__(
        self,
        block: Array,
        view: View,
        spare: Array,
        *,
        channel_axis: int,
        channels: tuple[int, int] | None = None,
        bias: bool = True,
        pooled: bool = False,
    ) -> Iterator[Call]:
        """Yield the calls for a block of results, whose place `view` selects.

        `block` may be overwritten, and may be the place itself. `bias` and `pooled` are false and true where the method
        has added the bias or taken the maximum itself. `spare` holds `spares(operation)` times as many elements as the
        block. `channels` are those of the block, where it has not all.
        """
        vectors = partial(self._vector, channel_axis=channel_axis, channels=channels)
        place = view(self.y.inner)
        if self.operation.pool is not None and not pooled:
            block = yield from self._maximum(block, spare, channel_axis)
        negated = False
        stages = list(self.operation.stages)
        if bias and self.has_bias:
            negated = bool(stages) and stages[0].node.kind == "sigmoid"
            target = block if stages else place
            if negated:
                # −(x + bias) in one pass: the sigmoid begins with the sign turned round.
                yield partial(np.subtract, vectors(self.operation.node, "-bias", block), block, out=target)
            else:
                yield partial(np.add, block, vectors(self.operation.node, "bias", block), out=target)
            block = target
        for i, stage in enumerate(stages):
            target = place if i == len(stages) - 1 else block
            if stage.other is not None:
                yield partial(np.add, block, view(self.others[stage.other].inner), out=target)
            elif negated and i == 0:
                yield from sigmoid_of_negated(block, target)
            else:
                yield from self._apply(stage.node, block, target, spare, vectors)
            block = target
        if block is not place and not same_array(block, place):
            yield partial(np.copyto, place, block)

    def apply(self, node: Node, x: Array, out: Array, spare: Array, channel_axis: int) -> Iterator[Call]:
        """Yield the calls of an elementwise layer, from x to out, which may be the same array."""
        yield from self._apply(node, x, out, spare, partial(self._vector, channel_axis=channel_axis, channels=None))

    def _maximum(self, block: Array, spare: Array, channel_axis: int) -> Any:
        """Take the maximum over 2×2 windows: rows are halved into `spare`, then columns at its start."""
        rows, columns = spatial_axes(block.ndim, self.layout)
        h, w = block.shape[rows] // 2, block.shape[columns] // 2
        half = spare[: block.size // block.shape[rows] * h].reshape(_with(block.shape, rows, h))
        yield partial(np.maximum, _every(block, rows, 0, h), _every(block, rows, 1, h), out=half)
        shape = _with(half.shape, columns, w)
        # In place of the block, which is free now, where that is contiguous; else in a new array.
        store = _flat(block)
        out = np.empty(shape, block.dtype) if store is None else store[: math.prod(shape)].reshape(shape)
        yield partial(np.maximum, _every(half, columns, 0, w), _every(half, columns, 1, w), out=out)
        return out

    def _vector(
        self, node: Node, key: str, block: Array, *, channel_axis: int, channels: tuple[int, int] | None
    ) -> Array:
        """Return a vector over the channels of a block, stored so that loops over the block are long."""
        axis = channel_axis % block.ndim
        count, behind = block.shape[axis], block.shape[axis + 1 :]
        first, end = channels or (0, count)
        if block.size <= RUN and block.flags.c_contiguous and (first, end) == (0, node.shape[0]):
            # NumPy begins faster where no axis is repeated.
            sizes = math.prod(block.shape[:axis]), math.prod(behind)
            return self.vector(node, key, *sizes).reshape(block.shape)
        if behind:
            return self.vector(node, key, 1)[0, first:end].reshape(count, *[1] * len(behind))
        columns = block.shape[-2] if block.ndim > 2 and math.prod(block.shape[-2:]) <= 1 << 14 else 1
        return self.vector(node, key, columns)[:, first:end] if columns > 1 else self.vector(node, key, 1)[0, first:end]

    def _apply(
        self, node: Node, x: Array, out: Array, spare: Array, vectors: Callable[[Node, str, Array], Array]
    ) -> Iterator[Call]:
        function = function_of(node.layer)
        if node.layer.affine_by_channel and node.parameters:
            if "weight" in node.parameters:
                yield partial(np.multiply, x, vectors(node, "scale", x), out=out)
                x = out
            if "bias" in node.parameters:
                yield partial(np.add, x, vectors(node, "shift", x), out=out)
        elif function is not None:
            count = spares_of(node.layer)
            work = spare[: count * x.size].reshape(count, *x.shape)
            yield from function(node.layer, x, out, work, partial(self.constants.like, x))
        else:
            kernel = kernels_of_kinds([node.kind])[node.kind]
            context: Context[Any] = Context(node)
            yield lambda: np.copyto(out, kernel(context, x)[0])


def same_array(a: Array, b: Array) -> bool:
    """Whether two arrays are the same elements."""
    return a.ctypes.data == b.ctypes.data and a.strides == b.strides and a.shape == b.shape


def spatial_axes(ndim: int, layout: Layout) -> tuple[int, int]:
    """Return the axes of rows and columns of a block in a layout: [n, h, w, c] or [h, c, w, n]."""
    return (ndim - 3, ndim - 2) if layout is CHANNELS_LAST else (ndim - 4, ndim - 2)


def _every(x: Array, axis: int, first: int, count: int) -> Array:
    """Return every second element along an axis."""
    index: list[Any] = [slice(None)] * x.ndim
    index[axis] = slice(first, first + 2 * count - 1, 2)
    found: Array = x[tuple(index)]
    return found


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _flat(x: Array) -> Array | None:
    return x.reshape(-1) if x.flags.c_contiguous else None


def stages_cost(operation: Operation, size: int) -> float:
    """Return the passes over `size` elements that the stages take."""
    return size * sum(1 if stage.other else PASSES.get(stage.node.kind, 8) for stage in operation.stages)


def spares(operation: Operation) -> int:
    """Return how many arrays of a block's shape the elementwise layers of an operation work in."""
    return max(spares_of(node.layer) for node in (operation.node, *(stage.node for stage in operation.stages)))


def nchw(value: Value) -> Array:
    """Return a value's array as a view with the axes of its node: [n, c, h, w] or [n, f]."""
    return to_nchw(value.layout, value.inner)
