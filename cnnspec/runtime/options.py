"""How a network is run: one object that travels whole from the command line to the backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NUMERICS = ("strict", "default", "fast")
"""The option `numerics` of the built-in backends: the reference, what rounds about as much, and what rounds more."""


@dataclass(frozen=True)
class Execution:
    """The backend to run on, and what it is given beside the network; the defaults are those of every entry point."""

    backend: str = "numpy"
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    """Of initial weights and random input."""
    memory_limit: int | None = None
    """Bytes that weights and activations may take; None for the environment's CNNSPEC_MEMORY_LIMIT, or 2 GiB."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The backend's own options, which are the further keyword arguments of `Backend.prepare`."""

    def on(self, backend: str, dtype: str, known: Collection[str]) -> Execution:
        """Return it for another backend and data type, with those of the options that the backend has."""
        options = {name: value for name, value in self.options.items() if name in known}
        return replace(self, backend=backend, dtype=dtype, options=options)

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}, {self.dtype}"
