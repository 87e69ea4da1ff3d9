"""Resizing as nodes of an ONNX model: by its own operator where that rounds as the layer does, else by matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec.interop.onnx_export.emitter import Emit, Emitter, Names, Own
from cnnspec.layers import Shape
from cnnspec.layers.sampling import Sampling, weights


def multiplied(e: Emitter, x: str, shape: Shape, matrices: Sequence[Array]) -> str:
    """Append the product of each spatial axis of an input of that shape [c, ...] with a matrix [out, n]."""
    sizes = list(shape)
    for axis, matrix in enumerate(matrices, 1):
        flat = e.reshape(x, math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :]))
        x = e.add("MatMul", [e.constant(matrix), flat])
        sizes[axis] = len(matrix)
    return e.reshape(x, *sizes)


def taken(e: Emitter, x: str, elements: Sequence[Sequence[int]]) -> str:
    """Append the choice of elements along each spatial axis, and return the name of the output."""
    for axis, indices in enumerate(elements, 2):
        x = e.add("Gather", [x, e.numbers(indices)], axis=axis)
    return x


def _resize(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    samplings, rank = layer.samplings(node.in_shapes[0]), len(node.shape) - 1
    by_size = layer.scale is None or layer.coordinates == "align_corners"
    if not all(_is_certain(layer, sampling) for sampling in samplings) or (layer.method == "cubic" and rank != 2):
        return _sampled(e, node, xs[0], samplings)
    fields: dict[str, Any] = {"mode": layer.method, "coordinate_transformation_mode": layer.coordinates}
    if layer.method == "nearest":
        fields["nearest_mode"] = layer.rounding
    if layer.method == "cubic":
        fields["cubic_coeff_a"] = layer.cubic_coeff
    if not by_size:
        factors = [float(sampling.scale) for sampling in samplings]
        return e.add("Resize", [*xs, "", e.constant((1, 1, *factors), np.float32)], **fields)
    if e.since(18):  # the first that takes the sizes of some axes
        return e.add("Resize", [*xs, "", "", e.numbers(node.shape[1:])], axes=[*range(2, 2 + rank)], **fields)
    return _sampled(e, node, xs[0], samplings)


def _sampled(e: Emitter, node: Node, x: str, samplings: Sequence[Sampling]) -> str:
    """Append the samples as chosen elements, or as products with the matrix of weights along each axis."""
    layer: Any = node.layer
    taps = [weights(sampling, layer.method, layer.rounding, layer.cubic_coeff) for sampling in samplings]
    if layer.method == "nearest":
        return taken(e, x, [[i for ((i, _),) in axis] for axis in taps])
    matrices = []
    for axis, sampling in zip(taps, samplings, strict=True):
        matrix = np.zeros((sampling.out, sampling.n))
        for row, numbers in zip(matrix, axis, strict=True):
            for i, weight in numbers:
                row[i] += weight
        matrices.append(matrix)
    return multiplied(e, x, node.in_shapes[0], matrices)


def _is_certain(layer: Any, sampling: Sampling) -> bool:
    """Return whether ONNX's operator, which computes sizes and places in float32, finds the layer's own."""
    if layer.scale is not None and math.floor(np.float32(sampling.n) * np.float32(sampling.scale)) != sampling.out:
        return False
    if layer.method != "nearest" or _is_exact(layer, sampling):
        return True
    half = Fraction(1, 2) if layer.rounding.startswith("round") else Fraction(0)
    places = (sampling.place(i) + half for i in range(sampling.out))
    return all(abs(place - round(place)) > Fraction(1, 1000) for place in places)


def _is_exact(layer: Any, sampling: Sampling) -> bool:
    """Return whether the places are exact in float32: the quotients of whole numbers, or of powers of two."""
    up, down = sampling.scale.as_integer_ratio()
    if layer.coordinates == "asymmetric" and down == 1:
        return True
    return layer.coordinates != "align_corners" and up & (up - 1) == 0 and down & (down - 1) == 0


def _upsample(e: Emitter, node: Node, xs: Names, own: Own) -> str:
    layer: Any = node.layer
    scales = e.constant((1, 1, *layer.scales(node.shape)), np.float32)
    fields = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if layer.mode != "nearest":
        fields = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return e.add("Resize", [*xs, "", scales], **fields)


EMITTERS: dict[str, Emit] = {"resize": _resize, "upsample": _upsample}
"""An emitter for each kind of layer that samples."""
