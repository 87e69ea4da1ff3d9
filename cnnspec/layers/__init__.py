"""The layers, one class each: `LAYERS` maps the kinds to them, and third parties add theirs by entry point.

Uses the ground floor; knows no YAML, no arrays and no backend.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from cnnspec.layers import (
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
from cnnspec.layers.base import Inferred, Layer, Parameter, Shape, ShapeError, undeclared
from cnnspec.wording import names

__all__ = [
    "ENTRY_POINTS",
    "LAYERS",
    "NORMS",
    "Inferred",
    "Layer",
    "Parameter",
    "Shape",
    "ShapeError",
    "find",
    "functions_by_kind",
    "known_kinds",
]

ENTRY_POINTS = "cnnspec.layers"

_FAMILIES = (conv, dense, dropout, pool, norm, shape, rearrange, reduce, resize, attention, activation, function, merge)
LAYERS: dict[str, type[Layer]] = {
    cls.kind: cls
    for module in _FAMILIES
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Layer) and cls.__module__ == module.__name__ and "kind" in vars(cls)
}
"""The layers by kind: every class of these modules that has one."""


def functions_by_kind(*modules: ModuleType) -> dict[str, Any]:
    """Return the functions of modules that are called as a layer (`slice_` for `slice`, which is Python's own)."""
    return {
        kind: function
        for module in modules
        for name, function in vars(module).items()
        if (kind := name.rstrip("_")) in LAYERS and getattr(function, "__module__", None) == module.__name__
    }


NORMS = tuple(kind for kind, cls in LAYERS.items() if issubclass(cls, norm.Norm))
"""The kinds that `norm:` takes."""


@cache
def _third_party() -> dict[str, type[Layer]]:
    """Return the layers that other packages add through the entry-point group `cnnspec.layers`."""
    found = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            cls = point.load()
            if missing := undeclared(cls):
                raise TypeError(f"it does not declare {names(missing)} (see cnnspec.layers.Layer)")
            found[point.name] = cls
        except Exception as error:  # whatever it is, a broken package is no fault of the spec
            warnings.warn(f"the layer `{point.name}` cannot be loaded: {error}", RuntimeWarning, stacklevel=2)
    return found


def find(kind: str) -> type[Layer] | None:
    """Return the layer of a kind, if there is one."""
    return LAYERS.get(kind) or _third_party().get(kind)


def known_kinds() -> dict[str, type[Layer]]:
    """Return every layer by its kind, the built-in ones first."""
    return {**LAYERS, **_third_party(), **LAYERS}
