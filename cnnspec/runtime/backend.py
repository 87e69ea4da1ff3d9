"""The backend protocol, and the installed backends, found by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, runtime_checkable

from cnnspec.arrays import Array
from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.runtime.model import Model

ENTRY_POINTS = "cnnspec.backends"


class Backend(Protocol):
    """The object that an entry point of the group `cnnspec.backends` names."""

    name: str
    options: tuple[str, ...]
    """The names of the further keyword arguments of `prepare`."""

    def version(self) -> str:
        """Return the name and the version of the library: `numpy 2.4.6`."""

    def devices(self) -> list[str]:
        """Return the devices that are present, the default first."""

    def dtypes(self) -> Mapping[str, int]:
        """Return the data types that it computes in, each with the bytes of a number."""

    def distributed(self, device: str) -> AbstractContextManager[str]:
        """Join the processes that a launcher started beside this one, if any, and leave them at the end.

        Yields this process's own device.
        """

    def prepare(self, graph: Graph, weights: Mapping[str, Array], *, device: str, dtype: str, **options: Any) -> Model:
        """Return a model of the graph on that device, with all the arrays of `graph.parameters`."""


@runtime_checkable
class ModuleBackend(Protocol):
    """A backend that can also return the network as a module of its framework."""

    def to_module(self, graph: Graph, weights: Mapping[str, Array]) -> Any:
        """Return a module of the graph, with copies of the weights."""


def installed() -> dict[str, Backend | str]:
    """Return every backend by name; in place of one that cannot be loaded, the reason."""
    from importlib.metadata import entry_points

    found: dict[str, Backend | str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found[point.name] = point.load()
        except Exception as error:  # no error of a third party's import may hide the others
            found[point.name] = f"{point.value} cannot be imported: {error}"
    return dict(sorted(found.items(), key=lambda item: (item[0] != "numpy", item[0])))


def available() -> dict[str, Backend]:
    """Return the backends that can be used: loaded, and with their library installed."""
    found = {}
    for name, backend in installed().items():
        if isinstance(backend, str):
            continue
        with suppress(BackendError):
            backend.version()
            found[name] = backend
    return found


def find(name: str) -> Backend:
    """Return the backend of that name; raise BackendError, which lists the installed ones, where it is missing."""
    backends = installed()
    backend = backends.get(name)
    if backend is None:
        raise BackendError(f"there is no backend `{name}`: there are {', '.join(backends)}")
    if isinstance(backend, str):
        raise BackendError(f"the backend `{name}` is broken: {backend}")
    return backend
