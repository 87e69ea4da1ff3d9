"""Comparison of arrays with the parameters of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph
from cnnspec.wording import nearest

SHOWN = 10
"""The most tensors that a message lists for each kind of fault."""


def checked(graph: Graph, arrays: Mapping[str, npt.ArrayLike], origin: str) -> Arrays:
    """Return the arrays in the order of `graph.parameters`, contiguous; raise WeightsError, which lists all misfits."""
    expected = {name: list(parameter.shape) for name, parameter in graph.parameters.items()}
    found = as_arrays(arrays)
    if lines := misfits(expected, found):
        raise WeightsError("\n".join([f"{origin} does not fit the network `{graph.name}`:", *lines]))
    return {name: found[name] for name in expected}


def as_arrays(given: Mapping[str, npt.ArrayLike]) -> Arrays:
    """Return contiguous arrays by name."""
    return {name: np.asarray(array, order="C") for name, array in given.items()}


def misfits(expected: Mapping[str, list[int]], found: Arrays, most: int | None = SHOWN) -> list[str]:
    """Return a line for each array that is not as expected, of each kind of fault at most so many."""
    both = [name for name in expected if name in found]
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    wrong = [name for name in both if list(found[name].shape) != expected[name]]
    no_numbers = [name for name in both if found[name].dtype.kind not in "iuf"]
    not_finite = [name for name in both if name not in no_numbers and not np.isfinite(found[name]).all()]

    def unknown(name: str) -> str:
        near = nearest(name, missing)
        question = f"; did you mean `{near}`?" if near else ""
        return f"found {list(found[name].shape)}, and the network has no such tensor{question}"

    def broken(name: str) -> str:
        bad = int(np.count_nonzero(~np.isfinite(found[name])))
        return f"{bad:,} of {found[name].size:,} numbers {'is' if bad == 1 else 'are'} NaN or infinite"

    def of_another_shape(name: str) -> str:
        return f"expected {expected[name]}, found {list(found[name].shape)}"

    return [
        *listed(wrong, "of another shape", of_another_shape, most),
        *listed(missing, "missing", lambda name: f"expected {expected[name]}, found nothing", most),
        *listed(extra, "that the network does not have", unknown, most),
        *listed(no_numbers, "without numbers", lambda name: f"expected numbers, found {found[name].dtype}", most),
        *listed(not_finite, "with NaN or infinite numbers", broken, most),
    ]


def listed(names: list[str], what: str, says: Callable[[str], str], most: int | None = SHOWN) -> list[str]:
    """Return a line for each of the first names (of all, for None), and the number of others."""
    most = len(names) if most is None else most
    lines = [f"  {name}: {says(name)}" for name in names[:most]]
    more = len(names) - most
    return [*lines, f"  … and {more:,} more {what}"] if more > 0 else lines
