"""Initial weights, which a seed determines for every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec import rng
from cnnspec.arrays import Array, Arrays
from cnnspec.errors import WeightsError
from cnnspec.graph.graph import Graph
from cnnspec.layers import Parameter
from cnnspec.layers.base import DEFAULT_SCHEME

BLOCK = 1 << 20
"""Numbers drawn at a time, so that large float32 arrays need no float64 copy."""


def initial(graph: Graph, seed: int, dtype: npt.DTypeLike = np.float64) -> Arrays:
    """Return every array of `graph.parameters`: the spec's own numbers, constants, or drawn by the layer's scheme.

    Each array has a random stream of its own, drawn in float64, which depends only on the seed, its name, its shape and
    the scheme; float32 weights are the rounded float64 ones.
    """
    arrays = {}
    for node in graph.nodes:
        for key, parameter in node.parameters.items():
            name = node.arrays[key]
            if name in arrays:  # which another node shares
                continue
            scheme = parameter.scheme or DEFAULT_SCHEME
            scheme = parameter.torch if scheme == DEFAULT_SCHEME else scheme
            # Only PyTorch draws biases; the papers of the other schemes initialise them with zero.
            zero = key == "bias" and scheme != "torch"
            array = _begin(parameter, name, seed, "zeros" if zero else scheme, np.dtype(dtype))
            if not np.isfinite(array).all():
                raise WeightsError(f"`{name}` has initial values beyond the range of {array.dtype}")
            arrays[name] = array
    return arrays


def variance(scheme: str, fan_in: int, fan_out: int) -> float:
    """Return the variance of the weights that a scheme draws."""
    match scheme.removesuffix("_normal").removesuffix("_uniform"):
        case "torch":  # its layers' kaiming_uniform with a = √5, which is U(±1/√fan_in); biases alike
            return 1 / (3 * fan_in)
        case "he":  # He et al. 2015, "Delving Deep into Rectifiers", equation 10
            return 2 / fan_in
        case "glorot":  # Glorot & Bengio 2010, "Understanding the difficulty of training deep …", equation 12
            return 2 / (fan_in + fan_out)
        case "lecun":  # LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.6
            return 1 / fan_in
    raise ValueError(f"there is no scheme `{scheme}` for initial weights")


def _begin(parameter: Parameter, name: str, seed: int, scheme: str, dtype: np.dtype[Any]) -> Array:
    shape = parameter.shape
    with np.errstate(over="ignore"):  # `initial` reports an overflow
        if parameter.numbers is not None:
            values = np.array(parameter.numbers.values).astype(dtype)
            return values.reshape(shape) if parameter.numbers.shape else np.full(shape, values[0])
        if parameter.fill is not None:
            return np.full(shape, np.float64(parameter.fill).astype(dtype))
    if parameter.deviation is not None:
        scheme, deviation = "_normal", parameter.deviation
    elif scheme == "zeros":
        return np.zeros(shape, dtype)
    elif parameter.fan_in < 1:
        raise ValueError(f"`{name}` has neither a fill nor a fan-in: its layer must define its initial values")
    else:
        deviation = math.sqrt(variance(scheme, parameter.fan_in, parameter.fan_out))
    stream = rng.stream(seed, "weights", name)
    array = np.empty(parameter.size, dtype)
    for start in range(0, parameter.size, BLOCK):
        block = array[start : start + BLOCK]
        block[...] = _draw(stream, scheme.endswith("_normal"), deviation, len(block))
    return array.reshape(shape)


def _draw(stream: np.random.Generator, normal: bool, deviation: float, size: int) -> Array:
    if normal:
        return stream.normal(0, deviation, size)
    bound = math.sqrt(3) * deviation  # U(±b) has the variance b²/3
    return stream.uniform(-bound, bound, size)
