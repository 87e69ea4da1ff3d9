"""The kernels: one function for each layer, named as its kind.

A package that adds a layer adds its kernel in the entry-point group `cnnspec_numpy.kernels`, under the kind:

    def square(context: Context[Square], x: Array) -> Result:
        return x * x, lambda dy: ((2 * x * dy,), {})
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points

from cnnspec.errors import BackendError
from cnnspec.graph.graph import Graph
from cnnspec.layers import functions_by_kind
from cnnspec.layers.input import INPUT
from cnnspec_numpy.kernels import (
    activation,
    attention,
    conv,
    dense,
    dropout,
    function,
    merge,
    norm,
    pool,
    rearrange,
    reduce,
    resize,
    shape,
)
from cnnspec_numpy.kernels.base import Context, Kernel, Result

__all__ = ["ENTRY_POINTS", "KERNELS", "Context", "Kernel", "Result", "kernels_of"]

ENTRY_POINTS = "cnnspec_numpy.kernels"

KERNELS: dict[str, Kernel] = functions_by_kind(
    conv, dense, dropout, pool, norm, shape, rearrange, reduce, resize, attention, activation, function, merge
)
"""The kernels by kind."""


def kernels_of(graph: Graph) -> dict[str, Kernel]:
    """Return the kernel of every kind in the graph; raise BackendError that lists the kinds without one."""
    return kernels_of_kinds(node.kind for node in graph.nodes if node.kind != INPUT)


def kernels_of_kinds(kinds: Iterable[str]) -> dict[str, Kernel]:
    """Return the kernel of each kind; raise BackendError that lists the kinds without one."""
    kinds = dict.fromkeys(kinds)
    found = {kind: KERNELS.get(kind) or _third_party(kind) for kind in kinds}
    missing = [kind for kind, kernel in found.items() if kernel is None]
    if missing:
        raise BackendError(
            f"the numpy backend has no kernel for {', '.join(f'`{kind}`' for kind in missing)}: "
            f"a package adds one by the entry-point group `{ENTRY_POINTS}`"
        )
    return {kind: kernel for kind, kernel in found.items() if kernel is not None}


def _third_party(kind: str) -> Kernel | None:
    for point in entry_points(group=ENTRY_POINTS, name=kind):
        try:
            kernel: Kernel = point.load()
        except Exception as error:  # whatever the package does wrong
            raise BackendError(f"the kernel of `{kind}`, {point.value}, cannot be loaded: {error}") from error
        return kernel
    return None
