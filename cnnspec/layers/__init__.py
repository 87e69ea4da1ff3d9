"""The layers, one class each: `LAYERS` maps the kinds to them, and third parties add theirs by entry point.

Uses the ground floor; knows no YAML, no arrays and no backend.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import entry_points

from cnnspec.layers import activation, conv, dense, merge, norm, pool, shape
from cnnspec.layers.base import Inferred, Layer, Parameter, Shape, ShapeError

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
    "known_kinds",
]

ENTRY_POINTS = "cnnspec.layers"

LAYERS: dict[str, type[Layer]] = {
    cls.kind: cls
    for cls in (
        conv.Conv,
        conv.ConvTranspose,
        dense.Dense,
        pool.MaxPool,
        pool.AvgPool,
        pool.GlobalAvgPool,
        pool.GlobalMaxPool,
        pool.AdaptiveAvgPool,
        dense.Flatten,
        norm.BatchNorm,
        norm.LayerNorm,
        norm.GroupNorm,
        norm.LocalResponseNorm,
        dense.Dropout,
        shape.Upsample,
        shape.Pad,
        shape.Crop,
        shape.ChannelShuffle,
        shape.Slice,
        norm.Scale,
        activation.Relu,
        activation.Relu6,
        activation.LeakyRelu,
        activation.Prelu,
        activation.Elu,
        activation.Selu,
        activation.Gelu,
        activation.Silu,
        activation.Mish,
        activation.Sigmoid,
        activation.HardSigmoid,
        activation.Tanh,
        activation.HardSwish,
        activation.Softplus,
        activation.Softmax,
        activation.LogSoftmax,
        merge.Add,
        merge.Multiply,
        merge.Concat,
    )
}

NORMS = ("batch_norm", "layer_norm", "group_norm", "local_response_norm")


@cache
def _third_party() -> dict[str, type[Layer]]:
    """The layers that other packages add through the entry-point group `cnnspec.layers`."""
    found = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found[point.name] = point.load()
        except Exception as error:  # whatever it is, a broken package is no fault of the spec
            warnings.warn(f"the layer `{point.name}` cannot be loaded: {error}", RuntimeWarning, stacklevel=2)
    return found


def find(kind: str) -> type[Layer] | None:
    """The layer of a kind, if there is one."""
    return LAYERS.get(kind) or _third_party().get(kind)


def known_kinds() -> dict[str, type[Layer]]:
    """Every layer by its kind, the built-in ones first."""
    return {**LAYERS, **_third_party(), **LAYERS}
