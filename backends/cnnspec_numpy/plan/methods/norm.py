"""Normalisation over the numbers of a sample, where it cannot be folded into the weights, and functions of channels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node
from cnnspec_numpy.plan.functions import Call, log_softmax, neighbour_sums, softmax
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Job, Read
from cnnspec_numpy.plan.methods.whole import OverOutput
from cnnspec_numpy.plan.value import CHANNELS_LAST, Layout, shape_in


class SampleNorm:
    """The numbers that layer_norm and group_norm normalise together, in a layout: axes by name, as for `einsum`.

    The channels are the axes g and c where they are groups, and c elsewhere.
    """

    def __init__(self, node: Node, layout: Layout) -> None:
        layer: Any = node.layer
        self.node, self.layout = node, layout
        self.groups: int = getattr(layer, "groups", 0)
        self.over_all = getattr(layer, "axes", ()) == ("all",)
        rank = len(node.shape) - 1
        self.plain = ("n" + "hw"[:rank] + "c") if layout is CHANNELS_LAST else ("hcwn" if rank else "cn")
        self.axes = self.plain.replace("c", "gc") if self.groups else self.plain
        kept = "gn" if self.groups else "n" if self.over_all else self.plain.replace("c", "")
        self.kept = "".join(axis for axis in self.axes if axis in kept)
        self.eps: float = layer.eps

    @staticmethod
    def knows(node: Node) -> bool:
        """Whether the axes are the channels, a group of them, or all, of an image or a vector."""
        axes = getattr(node.layer, "axes", ("channels",))
        return axes in (("channels",), ("all",)) and len(node.shape) in (1, 3)

    def shape(self, n: int) -> tuple[int, ...]:
        """Return the shape of the axes."""
        c, *sizes = self.node.shape
        found = {"n": n, "g": self.groups, "c": c // max(1, self.groups), **dict(zip("hw", sizes, strict=False))}
        return tuple(found[axis] for axis in self.axes)

    def statistic(self, vector: Array, n: int) -> Array:
        """Return memory of one number for those that belong together, with axes of size one for what is summed."""
        sizes = zip(self.axes, self.shape(n), strict=True)
        shape = [size if axis in self.kept else 1 for axis, size in sizes]
        return vector[: math.prod(shape)].reshape(shape)

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the mean and for sums along some axes."""
        size = n * math.prod(self.node.shape) // self.shape(1)[self.axes.index("c")]
        return {"mean": size, "rows": size, "columns": size}

    def affine(self, v: Array) -> Array:
        """Return a parameter [c] or [c, h, w] as a view that broadcasts to an array with the plain axes."""
        if v.ndim == 1:
            return v if self.plain[-1] == "c" else v.reshape(-1, *[1] * (len(self.plain) - 1 - self.plain.index("c")))
        return v.transpose(1, 2, 0) if self.layout is CHANNELS_LAST else v.transpose(1, 0, 2)[..., None]

    def sums(self, operands: tuple[Array, ...], out: Array, work: Any) -> Iterator[Call]:
        """Yield the sums of a product of arrays: over the channels first, then along one axis after the other.

        Each is a sum of few numbers, which rounds less than one of all.
        """
        axes = self.axes.replace("c", "")
        rest = [axis for axis in "wh" if axis in axes and axis not in self.kept]
        n = operands[0].shape[self.axes.index("n")]
        sizes = dict(zip(self.axes, self.shape(n), strict=True))
        target = out
        for i, axis in enumerate(["c", *rest]):
            source, before = target, axes
            axes = axes.replace(axis, "")
            shape = [sizes[name] for name in axes]
            target = (out if i == len(rest) else work(("rows", "columns")[i % 2]))[: math.prod(shape)].reshape(shape)
            if axis == "c":
                yield partial(np.einsum, f"{','.join([self.axes] * len(operands))}->{axes}", *operands, out=target)
            else:
                yield partial(np.add.reduce, source, axis=before.index(axis), out=target)

    def normalise(self, x: Array, out: Array, inverse: Array, work: Any) -> Iterator[Call]:
        """Yield the calls that write (x − mean) / √(variance + eps), and the factor for those that belong together."""
        shape = self.shape(x.shape[self.plain.index("n")])
        n = shape[self.axes.index("n")]
        x, out = x.reshape(shape), out.reshape(shape)
        mean, factor = self.statistic(work("mean"), n), self.statistic(inverse, n)
        count = out.size // mean.size
        yield from self.sums((x,), mean.reshape(-1), work)
        yield partial(np.multiply, mean, 1 / count, out=mean)
        yield partial(np.subtract, x, mean, out=out)
        yield from self.sums((out, out), factor.reshape(-1), work)
        yield partial(np.multiply, factor, 1 / count, out=factor)
        yield partial(np.add, factor, self.eps, out=factor)
        yield partial(np.sqrt, factor, out=factor)
        yield partial(np.reciprocal, factor, out=factor)
        yield partial(np.multiply, out, factor, out=out)


class Normalised(OverOutput):
    """Layer and group normalisation."""

    name = "normalise"
    passes = 8.0

    def applies(self, operation: Operation) -> bool:
        """Whether it is over the channels or all of an image or a vector."""
        return SampleNorm.knows(operation.node)

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return what every method has, and the statistics."""
        own = SampleNorm(operation.node, self.layout).workspace(n)
        return super().workspace(operation, n, lanes) | own | {"inverse": own["mean"]}

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield mean, centring, variance, scaling and shift."""
        norm = SampleNorm(job.operation.node, self.layout)
        yield from norm.normalise(job.x[0].inner, out, job.work("inverse"), job.work)
        for key, function in (("weight", np.multiply), ("bias", np.add)):

            def parameter(read: Read, key: str = key) -> Array:
                return norm.affine(read(key))

            yield partial(function, out, job.prepared(f"{key} {self.layout.value}", parameter), out=out)


class OverChannels(OverOutput):
    """A method that computes each position from its channels."""

    def applies(self, operation: Operation) -> bool:
        """Whether the value is an image or a vector."""
        return len(operation.node.shape) in (1, 3)

    def axis(self, operation: Operation) -> int:
        """Return the axis of the channels."""
        return self.channel_axis if len(operation.node.shape) == 3 else (-1 if self.layout is CHANNELS_LAST else -2)


class Softmax(OverChannels):
    """softmax and its logarithm."""

    name = "softmax"
    passes = 10.0

    def applies(self, operation: Operation) -> bool:
        """Whether the sums are over the channels of an image or a vector."""
        return super().applies(operation) and operation.node.layer.normalises_classes

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return what every method has, and memory for exponentials and for a sum at each position."""
        size = n * math.prod(operation.node.shape)
        own = {"exponentials": size, "sums": size // operation.node.shape[0]}
        return super().workspace(operation, n, lanes) | own

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the function."""
        axis, x = self.axis(job.operation), job.x[0].inner
        shape = list(out.shape)
        shape[axis] = 1
        sums = job.work("sums")[: math.prod(shape)].reshape(shape)
        if job.operation.node.kind == "softmax":
            yield from softmax(x, out, sums, axis)
        else:
            yield from log_softmax(x, out, job.work("exponentials")[: out.size].reshape(out.shape), sums, axis)


class LocalResponseNorm(OverChannels):
    """x · d^−β with d = k + α/size · Σ x² over the neighbouring channels."""

    name = "neighbours"
    passes = 40.0

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return what every method has, and memory for the squares and their sums."""
        size = n * math.prod(operation.node.shape)
        return super().workspace(operation, n, lanes) | {"squares": size, "sums": size}

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the factors and the product."""
        node, x = job.operation.node, job.x[0].inner
        shape = shape_in(self.layout, node.shape, job.y.n)
        squares, d = (job.work(key)[: x.size].reshape(shape) for key in ("squares", "sums"))
        yield from response(node.layer, x, squares, d, self.axis(job.operation))
        yield partial(np.power, d, -node.layer.beta, out=d)  # type: ignore[attr-defined]
        yield partial(np.multiply, x, d, out=out)


def response(layer: Any, x: Array, squares: Array, d: Array, axis: int) -> Iterator[Call]:
    """Yield d = k + α/size · Σ x² over the neighbouring channels, which are an axis of x."""
    yield partial(np.multiply, x, x, out=squares)
    yield from neighbour_sums(squares, d, axis, layer.size, layer.size // 2)
    yield partial(np.multiply, d, layer.alpha / layer.size, out=d)
    yield partial(np.add, d, layer.k, out=d)
