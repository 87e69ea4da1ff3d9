"""Resizing."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.layers.resize import Resize
from cnnspec.layers.sampling import weights
from cnnspec_numpy.kernels.base import Context, Result
from cnnspec_numpy.kernels.border import along_axes
from cnnspec_numpy.kernels.window import EVERY, view


def resize(context: Context[Resize], x: Array) -> Result:
    """Samples along each axis: copies of the nearest numbers, or weighted sums of neighbours."""
    layer = context.layer
    samplings = layer.samplings(context.node.in_shapes[0])
    taps = [weights(sampling, layer.method, layer.rounding, layer.cubic_coeff) for sampling in samplings]
    matrices = []
    for sampling, rows in zip(samplings, taps, strict=True):
        matrix = np.zeros((sampling.out, sampling.n), x.dtype)
        for row, taken in zip(matrix, rows, strict=True):
            for source, weight in taken:
                row[source] += weight
        matrices.append(matrix)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (along_axes(dy, [matrix.T for matrix in matrices]),), {}

    if layer.method != "nearest":
        return along_axes(x, matrices), backward
    sources = [[source for ((source, _),) in rows] for rows in taps]
    return view(x, EVERY, EVERY, *np.ix_(*sources)), backward
