"""How a network is run: one object that travels whole from the command line to the backend."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from cnnspec.errors import BackendError
from cnnspec.wording import one_of

T = TypeVar("T")

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

    @property
    def recompute(self) -> tuple[str, ...]:
        """The blocks of the option `recompute`, which a backend may have; () where it is not given, or is no names."""
        given = self.options.get("recompute", ())
        return _as_tuple(given) if isinstance(given, str | list | tuple) else ()

    def on(self, backend: str, dtype: str, known: Collection[str]) -> Execution:
        """Return it for another backend and data type, with those of the options that the backend has."""
        options = {name: value for name, value in self.options.items() if name in known}
        return replace(self, backend=backend, dtype=dtype, options=options)

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}, {self.dtype}"


def checked_options(backend: str, cls: type[T], options: Mapping[str, Any]) -> T:
    """Return the options of a built-in backend as an object of its dataclass.

    `numerics` and `threads` mean the same in both; an option whose default is a tuple takes a name or a list of names;
    every other option is true or false, or None where that is its default. Raises BackendError where an option does not
    exist or has a wrong value.
    """
    defaults = {each.name: each.default for each in fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    for name, value in options.items():
        if name not in defaults:
            raise BackendError(f"the {backend} backend has no option `{name}`; it has {', '.join(defaults)}")
        if value is None and defaults[name] is None:
            continue
        if name == "numerics":
            if value not in NUMERICS:
                raise BackendError(f"the option `numerics` is {one_of(NUMERICS)}, not {value!r}")
        elif name == "threads":
            if type(value) is not int or value < 1:  # True is an int
                raise BackendError(f"the option `threads` is a number of at least 1, not {value!r}")
        elif isinstance(defaults[name], tuple):
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
                raise BackendError(f"the option `{name}` is a name or a list of names, not {value!r}")
        elif not isinstance(value, bool):
            raise BackendError(f"the option `{name}` of the {backend} backend is true or false, not {value!r}")
    return cls(
        **{name: _as_tuple(value) if isinstance(defaults[name], tuple) else value for name, value in options.items()}
    )


def _as_tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
