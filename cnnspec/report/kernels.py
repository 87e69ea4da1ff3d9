"""The kernels of the first convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Graph, Node
from cnnspec.report import pictures
from cnnspec.view import sheets

MOST_KERNELS = 64
"""Kernels that are shown; of kernels that are no colours, as many slices."""
COLUMNS = 16


@dataclass(frozen=True)
class Kernels:
    """The kernels of a layer as one picture."""

    layer: str
    shape: tuple[int, ...]
    """Of the weight: [o, c/g, kh, kw]."""
    shown: int
    columns: int
    """Kernels in a row."""
    are_colours: bool
    """Whether a kernel has three channels, which are red, green and blue."""
    picture: Array
    """Levels [h, w] with 0 in the middle, or pixels [3, h, w]."""
    largest: float
    """The largest absolute weight."""


def first_kernels(graph: Graph, weights: Mapping[str, Array]) -> Kernels | None:
    """Return the kernels of the first layer that has some over two axes; None where no layer has."""
    for node in graph.nodes:
        if (weight := _kernel(node, weights)) is not None:
            return _kernels(node.name, weight, graph.by_name[node.inputs[0]])
    return None


def _kernel(node: Node, weights: Mapping[str, Array]) -> Array | None:
    """Return the weight [o, c/g, kh, kw] of a layer with windows over two axes that are larger than one element."""
    sizes = tuple(window.kernel for window in node.windows)
    if len(sizes) != 2 or sizes == (1, 1):
        return None
    found = (weights[array] for array in node.arrays.values())
    return next((array for array in found if array.ndim == 4 and array.shape[2:] == sizes), None)


def _kernels(name: str, weight: Array, reads: Node) -> Kernels:
    are_colours = weight.shape[1] == 3 and not reads.inputs
    if are_colours:
        kept = weight[:MOST_KERNELS]
        levels = pictures.signed(kept.reshape(-1, *weight.shape[2:])).reshape(kept.shape)
        columns = min(COLUMNS, len(kept))
        colours = np.stack([sheets.side_by_side(levels[:, c], columns) for c in range(3)])
        return Kernels(name, weight.shape, len(kept), columns, True, colours, float(np.abs(weight).max()))
    slices = weight.reshape(-1, *weight.shape[2:])[:MOST_KERNELS]
    columns = min(COLUMNS, len(slices))
    sheet = sheets.side_by_side(pictures.signed(slices), columns)
    return Kernels(name, weight.shape, len(slices), columns, False, sheet, float(np.abs(weight).max()))
