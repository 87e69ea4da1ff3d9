"""One operation of a traced module, with its arguments looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.interop.importer.network import Network, Operand, Unsupported, Value


@dataclass(frozen=True, slots=True)
class Call:
    """An operator of ATen, and its arguments by name: tensors, constants, numbers, and lists of these."""

    op: str
    """The name without its overload: `conv2d`."""
    arguments: Mapping[str, Any]
    sizes: Sequence[tuple[int, ...] | None]
    """The shapes of its results, as far as they are tensors."""
    border: Sequence[tuple[int, int]] = ()
    """How much of −∞ is before and after each spatial axis of its input."""

    def get(self, name: str) -> Any:
        """Return an argument, or its default."""
        return self.arguments.get(name)

    def value(self, name: str = "self") -> Value:
        """Return an argument that depends on the inputs of the network."""
        given = self.arguments.get(name)
        if not isinstance(given, Value):
            raise Unsupported(f"its `{name}` is {'missing' if given is None else 'a constant'}")
        return given

    def operand(self, name: str) -> Operand:
        """Return an argument that is a tensor or a number; a number is a constant."""
        given = self.arguments.get(name)
        return given if isinstance(given, Value | np.ndarray) else np.array(given, np.float64)

    def array(self, name: str) -> Array | None:
        """Return an argument that has to be a constant, or None where it is left out."""
        given = self.arguments.get(name)
        if isinstance(given, Value):
            raise Unsupported(f"its `{name}` is computed from the input, and has to be a constant")
        return None if given is None else np.asarray(given)

    def arrays(self, **names: str) -> dict[str, Array]:
        """Return the constants that are there, by these keys; each value is the name of an argument."""
        found = {key: self.array(name) for key, name in names.items()}
        return {key: array for key, array in found.items() if array is not None}

    def tensors(self, name: str = "tensors") -> list[Value]:
        """Return a list of tensors that depend on the inputs of the network."""
        given = list(self.arguments[name])
        if not all(isinstance(x, Value) for x in given):
            raise Unsupported("one of its tensors is a constant")
        return given

    def axis(self, name: str = "dim", of: str = "self") -> int:
        """Return an axis of a tensor, counted from its beginning."""
        return int(self.arguments[name]) % len(self.value(of).shape)

    def axes(self, name: str = "dim") -> list[int]:
        """Return axes of the first tensor, counted from its beginning; all where none is given."""
        given, rank = self.arguments.get(name), len(self.value().shape)
        if given is None or given == []:
            return list(range(rank))
        return [int(axis) % rank for axis in (given if isinstance(given, list | tuple) else [given])]

    def by_axis(self, name: str, rank: int) -> list[int]:
        """Return a list of numbers for `rank` spatial axes; one number is for all of them."""
        given = self.arguments.get(name)
        found: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
        return [int(n) for n in (found * rank if len(found) == 1 else found)]

    def refuse(self, **defaults: Any) -> None:
        """Raise Unsupported where an argument is set to something else than this."""
        for name, default in defaults.items():
            if self.arguments.get(name, default) != default:
                raise Unsupported(f"`{name}` is {self.arguments[name]}")


Result = Operand | Sequence[Operand]
Convert = Callable[[Network, Call], Result]
"""Adds the layers of an operator to a network, and returns what it makes."""
