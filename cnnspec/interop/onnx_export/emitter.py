"""The nodes and constants of an ONNX model as they are appended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class Emitter:
    """The nodes and constants of the model so far."""

    def __init__(self, dtype: np.dtype[Any], arrays: Mapping[str, Array]) -> None:
        self.dtype = dtype
        self.arrays = arrays
        """The arrays of the network; those that are asked for become constants of the model, once each."""
        self.stored: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: Sequence[str], *, result: str = "", **attributes: Any) -> str:
        """Append a node, and return the name of its output."""
        result = result or f"{op}:{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [result], **attributes))
        return result

    def constant(self, value: Any, name: str = "", dtype: Any = None) -> str:
        """Append a constant in the data type of the model, and return its name."""
        name = name or f"constant:{len(self.constants)}"
        array = np.ascontiguousarray(value, dtype or self.dtype)
        self.constants.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def numbers(self, values: Sequence[int]) -> str:
        """Append a list of integers, such as a shape, and return its name."""
        return self.constant(np.array(values), dtype=np.int64)

    def reshape(self, x: str, *shape: int) -> str:
        """Append a reshape that keeps the batch."""
        return self.add("Reshape", [x, self.numbers((0, *shape))])

    def arrays_of(self, own: Mapping[str, str], *keys: str) -> list[str]:
        """Append those arrays of a layer that it has, and return their names."""
        names = [own[key] for key in keys if key in own]
        for name in names:
            if name not in self.stored:
                self.stored.add(name)
                self.constant(self.arrays[name], name)
        return names


Names = Sequence[str]
Own = Mapping[str, str]
Emit = Callable[[Emitter, Node, Names, Own], str]
