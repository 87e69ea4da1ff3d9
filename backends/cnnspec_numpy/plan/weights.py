"""Arrays that are computed from the weights: once for all plans of a model, and again when the weights change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec_numpy.plan.method import Read


class Prepared:
    """Weights in the form that methods take them.

    `read(name)` returns an array of the rewritten graph in float64, by its name there.
    """

    def __init__(self, read: Callable[[str], Array], dtype: np.dtype[Any]) -> None:
        self._read = read
        self._dtype = dtype
        self._arrays: dict[tuple[str, str], Array] = {}
        self._computed: dict[tuple[str, str], Callable[[], Array]] = {}

    def get(self, node: Node, key: str, compute: Callable[[Read], Any]) -> Array:
        """Return the array `compute(read)` of a node in the model's dtype; `read` takes the parameter's name."""
        name = (node.name, key)
        if name not in self._arrays:
            read = self._read  # not by way of `self`, which holds what is computed: that would be a cycle
            self._computed[name] = lambda: compute(lambda parameter: read(node.arrays[parameter]))
            self._arrays[name] = np.array(self._computed[name](), self._dtype, order="C")
        return self._arrays[name]

    def vector(self, node: Node, key: str, count: int, each: int = 1) -> Array:
        """Return a vector over the channels, each number of it and then all of it repeated: [count, c·each].

        `key` is a parameter, `-bias`, or `scale` or `shift` of an affine layer.
        """

        def compute(read: Read) -> Array:
            if key in ("scale", "shift"):
                affine: Any = node.layer
                vector = affine.scale_and_shift({name: read(name) for name in node.parameters})[key == "shift"]
            else:
                vector = -read("bias") if key == "-bias" else read(key)
            return np.tile(np.repeat(np.asarray(vector), each), (count, 1))

        return self.get(node, f"{key} {count} {each}", compute)

    def refresh(self) -> None:
        """Compute every array again, in place, so that the calls which are bound to it see the new weights."""
        for name, array in self._arrays.items():
            array[...] = self._computed[name]()

    @property
    def size(self) -> int:
        """The bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays.values())
