"""Convolutions in training: a correlation, its adjoint and the gradient of the weights, one of them forwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.methods.columns import correlation_weight, groups_of
from cnnspec_numpy.plan.value import Border
from cnnspec_numpy.training.calls import channel_sums
from cnnspec_numpy.training.correlation import Columns, Rows, Spread
from cnnspec_numpy.training.depthwise import DepthwiseGather, DepthwiseSpread
from cnnspec_numpy.training.maps import Gather, Geometry, Map, Target, Turned
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


def gather(geometry: Geometry) -> Gather:
    """Return the map from the image to the positions."""
    return DepthwiseGather(geometry) if geometry.is_depthwise else Columns(geometry)


def fastest(geometry: Geometry) -> Map:
    """Return the map from the image to the positions that takes the least time."""
    found = gather(geometry)
    if isinstance(found, Columns) and Rows.applies(geometry) and (rows := Rows(geometry)).cost < found.cost:
        return rows
    return found


def spread(geometry: Geometry) -> Map:
    """Return the map from the positions to the image."""
    if all(w.stride == 1 for w in geometry.windows):
        return Turned(geometry, fastest)
    return DepthwiseSpread(geometry) if geometry.is_depthwise else Spread(geometry)


class Convolution(Operation):
    """A layer of windows with weights; where a pool behind it has fewer elements, the bias is left to that."""

    keeps_input = True
    leaves_bias = False
    transposed: ClassVar[bool] = False
    """Whether the windows slide over the output."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the windows have two axes, and zeros around their input."""
        return len(node.windows) == 2 and (cls.transposed or node.layer.pads_with_zeros)

    def _geometry(self, n: int) -> Geometry:
        node = self.node
        image, positions = node.in_shapes[0], node.shape
        if self.transposed:
            image, positions = positions, image
        windows = [w._replace(out=size, extra=0) for w, size in zip(node.windows, positions[1:], strict=True)]
        return Geometry(windows, image, positions[0], groups_of(node), n)

    def _maps(self, n: int) -> tuple[Gather, Map, Map]:
        """Return the correlation, the map from x to y and the one from dy to dx."""
        geometry = self._geometry(n)
        found, back = gather(geometry), spread(geometry)
        return (found, back, found) if self.transposed else (found, fastest(geometry), back)

    def _by_group(self, weight: Array) -> Array:
        """Return the weight, or its gradient, as [g, o/g, c/g, kh, kw], as a view."""
        weight = correlation_weight(self.node, weight)
        groups = groups_of(self.node)
        return weight.reshape(groups, len(weight) // groups, *weight.shape[1:])

    def border(self) -> Border:
        """Return the zeros around x: the gradient of the weight needs them too, where the windows slide over x."""
        found, there, _ = self._maps(1)
        return there.border if self.transposed else found.border

    def gradient_border(self) -> Border:
        """Return the zeros around dy: the gradient of the weight needs them too, where the windows slide over dy."""
        return self._maps(1)[2].border if self.needs_dx[0] or self.transposed else Border()

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the weights as either map takes them."""
        _, there, back = self._maps(n)
        return {"forward": (there.weight_size,), "backward": (back.weight_size if self.needs_dx[0] else 0,)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return what the maps need, one after the other, and memory for the sums of the bias."""
        found = {"sums": self.node.shape[0] * self.node.shape[1]}
        for needed in self._maps(n):
            for key, size in needed.workspace().items():
                found[key] = max(found.get(key, 0), size)
        return found

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the map from x to y, and the bias."""
        _, there, _ = self._maps(job.n)
        target = Target(job.y.inner, bias=None if self.leaves_bias else job.weights.get("bias"))
        weight = self._by_group(job.weights["weight"])
        yield from there.calls(job.x[0], weight, target, job.kept["forward"], job.work)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the gradients of bias and weight, and dx."""
        assert job.dy is not None
        found, _, back = self._maps(job.n)
        if "bias" in job.gradients:
            yield from channel_sums(job.dy.inner, job.gradients["bias"], job.work("sums"), job.constants)
        if "weight" in job.gradients:
            image, positions = (job.dy, job.x[0]) if self.transposed else (job.x[0], job.dy)
            yield from found.gradient(image, positions.inner, self._by_group(job.gradients["weight"]), job.work)
        if job.dx[0] is not None:
            target = Target(job.dx[0].inner, job.adds[0])
            weight = self._by_group(job.weights["weight"])
            yield from back.calls(job.dy, weight, target, job.kept["backward"], job.work)


class Conv(Convolution):
    """Convolution: of each window's elements, the sums with the weights of their group."""


class ConvTranspose(Convolution):
    """Transposed convolution: each element is spread over a window of the output."""

    transposed = True
