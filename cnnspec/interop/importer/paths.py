"""Where arrays come from in a foreign model."""

from __future__ import annotations

from cnnspec.arrays import Array


class Paths:
    """The path of each array in the foreign model, such as `layer1.0.conv1.weight`, by the array's identity."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Array, str]] = {}  # with the array, whose identity is the key

    def of(self, array: Array) -> str:
        """Return the path of an array; the empty text where it has none."""
        return self._found[id(array)][1] if id(array) in self._found else ""

    def add(self, array: Array, path: str) -> None:
        """Let an array have a path, unless it has one."""
        if path:
            self._found.setdefault(id(array), (array, path))

    def clear(self) -> None:
        """Forget all paths."""
        self._found.clear()
