"""A window for each channel by itself: sums over the taps, where products of matrices have nothing to add up."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.slabs import depthwise_rows, depthwise_taps, takes_rows
from cnnspec_numpy.plan.value import Value
from cnnspec_numpy.training.calls import taps_inside
from cnnspec_numpy.training.maps import Gather, Geometry, Map, Target, Work, most_rows

from cnnspec.arrays import Array


class DepthwiseGather(Gather):
    """From the image to the positions: one sum over the taps for each block of rows."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.blocks = geometry.blocks(4 * geometry.o * geometry.run)

    def workspace(self) -> dict[str, int]:
        """Return the result of a block."""
        return {"products": most_rows(self.blocks) * self.geometry.o * self.geometry.run}

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield a sum over the taps for each block of rows."""
        for block in self.blocks:
            part = target.rows(*block)
            result = part.result(takes_rows(part.array), work("products"))
            yield depthwise_rows(source, self.geometry.windows, block[0], by_tap(weight), result)
            yield from part.finish(result)

    def gradient(self, image: Value, positions: Array, gradient: Array, work: Work) -> Iterator[Call]:
        """Yield one sum over the positions for each tap."""
        taps, rows = depthwise_taps(image, self.geometry.windows, 0, positions)
        axes = "hicjk,hck->ijc" if rows.ndim == 3 else "hicjwn,hcwn->ijc"
        yield partial(np.einsum, axes, taps, rows, out=by_tap(gradient))


class DepthwiseSpread(Map):
    """From the positions to the image: each tap of them is added to the elements under it, block by block."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.blocks = geometry.blocks(4 * geometry.o * geometry.run)

    def workspace(self) -> dict[str, int]:
        """Return a tap of a block."""
        return {"taps": most_rows(self.blocks) * self.geometry.o * self.geometry.run}

    def calls(self, source: Value, weight: Array, target: Target, memory: Array, work: Work) -> Iterator[Call]:
        """Yield a product and an addition for each tap."""
        weights = by_tap(weight)
        yield from target.begin()
        for first, end in self.blocks:
            block = source.inner[first:end]
            for tap in taps_inside(self.geometry.windows, self.geometry.image[1:], first, end):
                under, place = block[tap.at], target.array[tap.under]
                part = work("taps")[: under.size].reshape(under.shape)
                yield partial(np.multiply, under, weights[tap.row, tap.column, :, None, None], out=part)
                yield partial(np.add, place, part, out=place)


def by_tap(weight: Array) -> Array:
    """Return a weight [c, 1, 1, kh, kw] by taps, as a view: [kh, kw, c]."""
    return weight[:, 0, 0].transpose(1, 2, 0)
