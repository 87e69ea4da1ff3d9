"""The nodes and constants of an ONNX model as they are appended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from cnnspec.arrays import Array, Arrays
from cnnspec.errors import ExportError
from cnnspec.graph.graph import Node

BASELINE = 17
"""The lowest version of ONNX's operators that is written: the first that has LayerNormalization."""


class Emitter:
    """The nodes and constants of the model so far.

    Values between the operators of one layer, and its constants, are called `<layer>/<operator><ordinal>`, which no
    layer can be.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        arrays: Mapping[str, Array],
        opset: int | None = None,
        reserved: Collection[str] = (),
        training: bool = False,
    ) -> None:
        self.dtype = dtype
        self.arrays = arrays
        """The arrays of the network; those that are asked for become initializers of the model, once each."""
        self.opset = opset or BASELINE
        self.raises_opset = opset is None
        self.reserved = reserved
        """The names of values, which an array cannot have."""
        self.training = training
        """Whether layers that differ in training stay as nodes."""
        self.layer = ""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: Arrays = {}
        self._first = 0
        self._count = 0

    def since(self, opset: int) -> bool:
        """Return whether an operator of that opset can be used; the model's opset rises to it unless it is given."""
        if self.raises_opset:
            self.opset = max(self.opset, opset)
        return self.opset >= opset

    def begin(self, layer: str) -> None:
        """Begin the operators of a layer."""
        self.layer, self._first, self._count = layer, len(self.nodes), 0

    def end(self, result: str, value: str) -> None:
        """Give the result of a layer's operators the name of its value, and the last operator that of the layer."""
        own = self.nodes[self._first :]
        makers = [node for node in own if result in node.output]
        if not makers:  # it is the input, or a constant
            self.add("Identity", [result])
            makers = [self.nodes[-1]]
        (last,) = makers
        last.name, last.output[0] = self.layer, value

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node, and return the name of its output."""
        name = self._name(op)
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Append a constant in the data type of the model (or the given one), and return its name."""
        return self._store(self._name("constant"), np.asarray(value), dtype or self.dtype)

    def numbers(self, values: Sequence[int]) -> str:
        """Append a list of integers, such as a shape, and return its name."""
        return self.constant(np.array(values), np.int64)

    def reshape(self, x: str, *shape: int) -> str:
        """Append a reshape that keeps the batch."""
        return self.add("Reshape", [x, self.numbers((0, *shape))])

    def arrays_of(self, own: Mapping[str, str], *keys: str) -> list[str]:
        """Store those arrays of a layer that it has, under their own names, and return the names."""
        return [self._array(own[key]) for key in keys if key in own]

    def array_as(self, name: str, shape: Sequence[int]) -> str:
        """Store an array under its own name, and return the name of the array in another shape."""
        stored = self._array(name)
        if self.arrays[name].shape == tuple(shape):
            return stored
        return self.add("Reshape", [stored, self.numbers(shape)])

    def transposed(self, name: str) -> str:
        """Store a matrix under its own name, and return the name of its transpose."""
        return self.add("Transpose", [self._array(name)], perm=[1, 0])

    def _array(self, name: str) -> str:
        stored = f"{name}:array" if name in self.reserved else name
        return stored if stored in self.initializers else self._store(stored, self.arrays[name], self.dtype)

    def _store(self, name: str, value: Array, dtype: Any) -> str:
        self.initializers[name] = cast(value, np.dtype(dtype), name)
        return name

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self.layer}/{what}{self._count}"


def cast(value: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return an array in a data type; raise ExportError where a number is beyond its range.

    A number above zero stays above zero, since what is added to a divisor must not vanish.
    """
    with np.errstate(over="ignore"):
        found = np.asarray(value, order="C").astype(dtype, copy=False)
    if dtype != np.float16:
        return found
    if (np.isinf(found) & np.isfinite(value)).any():
        largest = float(np.abs(value).max())
        raise ExportError(f"`{name}` has numbers up to {largest:g}, and those of float16 end at 65504: use float32")
    vanished = (found == 0) & (value != 0)
    return np.where(vanished, np.sign(value) * np.finfo(np.float16).smallest_subnormal, found).astype(dtype)


Names = Sequence[str]
Own = Mapping[str, str]
Emit = Callable[[Emitter, Node, Names, Own], str]
"""Appends the operators of a node, given the names of its inputs and of its arrays by key; returns its output's."""
