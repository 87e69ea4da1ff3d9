"""One operation of an ONNX graph, with its inputs looked up and its attributes read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.arithmetic import decimal
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value


@dataclass(frozen=True, slots=True)
class Call:
    """An operator, what it reads, and how it is set."""

    op: str
    name: str
    inputs: tuple[Operand | None, ...]
    """None for an input that is left out."""
    attributes: dict[str, Any]
    outputs: tuple[str, ...]
    opset: int
    readers: dict[str, int]
    """How often each tensor of the graph is read."""

    def has(self, i: int) -> bool:
        """Whether there is an i-th input."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def value(self, i: int = 0) -> Value:
        """Return the i-th input, which depends on the inputs of the network."""
        given = self.inputs[i] if self.has(i) else None
        if not isinstance(given, Value):
            raise Unsupported(f"its input {i} is {'a constant' if given is not None else 'missing'}")
        return given

    def constant(self, i: int, what: str) -> Array:
        """Return the i-th input, which has to be a constant."""
        given = self.inputs[i] if self.has(i) else None
        if given is None:
            raise Unsupported(f"it has no {what}")
        if isinstance(given, Value):
            raise Unsupported(f"its {what} is computed from the input, and has to be a constant")
        return given

    def values(self) -> list[Value]:
        """Return all inputs, which depend on the inputs of the network."""
        return [self.value(i) for i in range(len(self.inputs))]

    def get(self, attribute: str, default: Any) -> Any:
        """Return an attribute, or its default."""
        return self.attributes.get(attribute, default)

    def setting(self, attribute: str, i: int, default: Any = None) -> Any:
        """Return what newer versions have as the i-th input and older ones as an attribute, as numbers."""
        if self.has(i):
            return self.constant(i, attribute).tolist()
        return self.attributes.get(attribute, default)

    def integers(self, attribute: str, i: int) -> list[int] | None:
        """Return a list of integers that is the i-th input or an attribute; None where it is left out."""
        found = self.setting(attribute, i)
        return None if found is None else [int(n) for n in np.ravel(found)]

    def axis(self, attribute: str = "axis", default: int = 1) -> int:
        """Return an axis of the first input, counted from its beginning."""
        return place(int(self.get(attribute, default)), len(self.value().shape))

    def decimal(self, attribute: str, default: float) -> float:
        """Return a number as it was written, of an attribute in float32."""
        return decimal(float(self.get(attribute, default)))

    def refuse(self, *attributes: str) -> None:
        """Raise Unsupported where one of these attributes is set."""
        for name in attributes:
            if self.attributes.get(name):
                raise Unsupported(f"`{name}` is {self.attributes[name]}")


Result = Operand | Sequence[Operand]
Convert = Callable[[Network, Call], Result]
"""Adds the layers of an operator to a network, and returns what it makes."""


def place(axis: int, rank: int) -> int:
    """Return an axis counted from the beginning; raise Unsupported where there is none."""
    if not -rank <= axis < rank:
        raise Unsupported(f"it names the axis {axis} of {rank}")
    return axis % rank
