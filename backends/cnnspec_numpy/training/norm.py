"""Normalisation in training: over the batch, over numbers of each sample, and over neighbouring channels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy.plan.functions import Call, neighbour_sums
from cnnspec_numpy.plan.methods.norm import SampleNorm, response
from cnnspec_numpy.plan.value import BATCH_LAST, shape_in
from cnnspec_numpy.training.calls import axes_of, in_rows, over_channels, put, repeated, repeated_size, rows_size
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class BatchNorm(Operation):
    """Each channel normalised by the mean and variance of the whole batch.

    With c = x − mean and r = 1 / √(variance + eps), y = weight · r · c + bias, and

        dbias = Σ dy,   dweight = r · Σ dy · c,   dx = weight · r · (dy − dbias / m − c · r · dweight / m)

    over the m numbers of a channel (Ioffe & Szegedy 2015, section 3). Sums are those over all shards.
    """

    keeps_input = True

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether it normalises over the batch."""
        return not node.frozen

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the mean and variance of the batch, 1 / √(variance + eps), and two sums."""
        c = self.node.shape[0]
        return {"mean": (c,), "variance": (c,), "inverse": (c,), "sums": (2, c)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for factors of each channel, sums of each block, and blocks of the centred input and of dx."""
        shape = shape_in(BATCH_LAST, self.node.shape, n)
        c, size = self.node.shape[0], rows_size(shape)
        sums = 2 * c * -(-math.prod(shape) // size)
        row = repeated_size(shape)
        return {
            "a": c, "b": c, "sums": sums, "centred": size, "part": size,
            "mean row": row, "a row": row, "b row": row, "shift row": row,
        }  # fmt: skip

    def _blocks(self, job: Job, *arrays: Array) -> Iterator[tuple[int, Array, list[Array]]]:
        """Yield the number of each block of rows, memory of its shape, and the arrays' parts of it."""
        for i, parts in enumerate(in_rows(*arrays)):
            yield i, job.work("centred")[: parts[0].size].reshape(parts[0].shape), parts

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield mean, variance and the affine function; leave the next running statistics."""
        layer: Any = self.node.layer
        x, y = job.x[0].inner, job.y.inner
        mean, variance, inverse = (job.kept[key] for key in ("mean", "variance", "inverse"))
        axes = axes_of(x)
        count = job.batch * math.prod(self.node.shape[1:])
        a, weight, bias = job.work("a"), job.weights["weight"], job.weights["bias"]
        yield partial(np.einsum, f"{axes}->c", x, out=mean)
        yield job.sync(f"{self.node.name} mean", mean)
        yield partial(np.multiply, mean, 1 / count, out=mean)
        mean_row = yield from repeated(mean, x, job.work("mean row"))
        sums = job.work("sums").reshape(2, -1, len(mean))[0]
        for i, centred, (part,) in self._blocks(job, x):
            yield partial(np.subtract, part, mean_row, out=centred)
            yield partial(np.einsum, f"{axes},{axes}->c", centred, centred, out=sums[i])
        yield partial(np.add.reduce, sums, axis=0, out=variance)
        yield job.sync(f"{self.node.name} variance", variance)
        yield partial(np.multiply, variance, 1 / count, out=variance)
        for key, batch, factor in (("running_mean", mean, 1.0), ("running_var", variance, count / max(1, count - 1))):
            # (1 − momentum) · running + momentum · batch
            state = job.state[key]
            yield partial(np.multiply, job.weights[key], 1 - layer.momentum, out=state)
            yield partial(np.multiply, batch, layer.momentum * factor, out=a)
            yield partial(np.add, state, a, out=state)
        yield partial(np.add, variance, layer.eps, out=inverse)
        yield partial(np.sqrt, inverse, out=inverse)
        yield partial(np.reciprocal, inverse, out=inverse)
        yield partial(np.multiply, weight, inverse, out=a)
        a_row = yield from repeated(a, x, job.work("a row"))
        bias_row = yield from repeated(bias, x, job.work("b row"))
        for _, centred, (part, place) in self._blocks(job, x, y):
            yield partial(np.subtract, part, mean_row, out=centred)
            yield partial(np.multiply, centred, a_row, out=centred)
            yield partial(np.add, centred, bias_row, out=place)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the gradients of weight and bias, and dx."""
        assert job.dy is not None
        x, dy, inverse, mean = job.x[0].inner, job.dy.inner, job.kept["inverse"], job.kept["mean"]
        axes = axes_of(dy)
        dweight, dbias = job.gradients["weight"], job.gradients["bias"]
        mean_row = yield from repeated(mean, x, job.work("mean row"))
        products, totals = job.work("sums").reshape(2, -1, len(mean))
        for i, centred, (part, dpart) in self._blocks(job, x, dy):
            yield partial(np.subtract, part, mean_row, out=centred)
            yield partial(np.einsum, f"{axes},{axes}->c", dpart, centred, out=products[i])
            yield partial(np.einsum, f"{axes}->c", dpart, out=totals[i])
        yield partial(np.add.reduce, products, axis=0, out=dweight)
        yield partial(np.multiply, dweight, inverse, out=dweight)
        yield partial(np.add.reduce, totals, axis=0, out=dbias)
        if job.dx[0] is None:
            return
        sums, dx = job.kept["sums"], job.dx[0].inner
        # The gradients stay those of this shard; dx takes the sums over all.
        yield partial(np.copyto, sums[0], dweight)
        yield partial(np.copyto, sums[1], dbias)
        yield job.sync(f"{self.node.name} gradients", sums)
        count = job.batch * math.prod(self.node.shape[1:])
        a, b, shift = job.work("a"), job.work("b"), sums[1]
        yield partial(np.multiply, job.weights["weight"], inverse, out=a)
        yield partial(np.multiply, a, inverse, out=b)
        yield partial(np.multiply, b, sums[0], out=b)
        yield partial(np.multiply, b, 1 / count, out=b)  # weight · r² · dweight / m
        yield partial(np.multiply, a, shift, out=shift)
        yield partial(np.multiply, shift, 1 / count, out=shift)
        rows = []
        for key, vector in (("a row", a), ("b row", b), ("shift row", shift)):
            rows.append((yield from repeated(vector, x, job.work(key))))
        a_row, b_row, shift_row = rows
        for _, centred, (part, dpart, place) in self._blocks(job, x, dy, dx):
            result = job.work("part")[: part.size].reshape(part.shape)
            yield partial(np.subtract, part, mean_row, out=centred)
            yield partial(np.multiply, centred, b_row, out=centred)
            yield partial(np.multiply, dpart, a_row, out=result)
            yield partial(np.subtract, result, centred, out=result)
            yield partial(np.subtract, result, shift_row, out=result if job.adds[0] else place)
            if job.adds[0]:
                yield put(result, place, True)


class FrozenBatchNorm(Operation):
    """y = scale · x + shift for each channel, by the running statistics; dx = scale · dy."""

    in_place = True

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the factor of each channel, and what is added to it."""
        return {"scale": self.node.shape[:1], "shift": self.node.shape[:1]}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for dx where another reader has written its part."""
        return {"part": n * math.prod(self.node.shape)}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield scale and shift, and the affine function."""
        layer: Any = self.node.layer
        x, y, scale, shift = job.x[0].inner, job.y.inner, job.kept["scale"], job.kept["shift"]

        def prepare() -> None:
            scale[:], shift[:] = layer.scale_and_shift(job.weights)

        yield prepare
        yield partial(np.multiply, x, over_channels(scale, y), out=y)
        yield partial(np.add, y, over_channels(shift, y), out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield dx."""
        if job.dx[0] is None or job.dy is None:
            return
        dx = job.dx[0].inner
        result = job.work("part").reshape(dx.shape) if job.adds[0] else dx
        yield partial(np.multiply, job.dy.inner, over_channels(job.kept["scale"], dx), out=result)
        if job.adds[0]:
            yield put(result, dx, True)


class OverSample(Operation):
    """Numbers of each sample normalised by their mean and variance: layer and group normalisation.

    With z = (x − mean) · r, y = weight · z + bias and g = dy · weight, dx = r · (g − mean of g − z · mean of g · z)
    (Ba, Kiros & Hinton 2016, section 3).
    """

    def __init__(self, node: Node, needs_dx: tuple[bool, ...]) -> None:
        super().__init__(node, needs_dx)
        self.norm = SampleNorm(node, BATCH_LAST)

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether the statistics are over the channels, a group of them, or all of a sample."""
        return super().applies(node) and SampleNorm.knows(node)

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the normalised input, and its factor."""
        return {"normal": shape_in(BATCH_LAST, self.node.shape, n), "inverse": (self.norm.workspace(n)["mean"],)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for sums and for dx."""
        own = self.norm.workspace(n)
        return own | {"products": own["mean"], "part": n * math.prod(self.node.shape)}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the normalised input, and the affine function."""
        normal, y = job.kept["normal"], job.y.inner
        yield from self.norm.normalise(job.x[0].inner, normal, job.kept["inverse"], job.work)
        yield partial(np.multiply, normal, self.norm.affine(job.weights["weight"]), out=y)
        yield partial(np.add, y, self.norm.affine(job.weights["bias"]), out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the gradients of weight and bias, and dx."""
        assert job.dy is not None
        norm, dy, normal = self.norm, job.dy.inner, job.kept["normal"]
        axes = norm.plain
        of_parameters = "chw"[: job.weights["weight"].ndim]
        if job.gradients:
            yield partial(np.einsum, f"{axes},{axes}->{of_parameters}", dy, normal, out=job.gradients["weight"])
            yield partial(np.einsum, f"{axes}->{of_parameters}", dy, out=job.gradients["bias"])
        if job.dx[0] is None:
            return
        part = job.work("part").reshape(normal.shape)
        yield partial(np.multiply, dy, norm.affine(job.weights["weight"]), out=part)
        shape = norm.shape(job.n)
        g, z = part.reshape(shape), normal.reshape(shape)
        mean, product, inverse = (
            norm.statistic(memory, job.n) for memory in (job.work("mean"), job.work("products"), job.kept["inverse"])
        )
        count = g.size // mean.size
        yield from norm.sums((g,), mean.reshape(-1), job.work)
        yield from norm.sums((g, z), product.reshape(-1), job.work)
        yield partial(np.multiply, mean, 1 / count, out=mean)
        yield partial(np.multiply, product, 1 / count, out=product)
        yield partial(np.multiply, z, product, out=z)
        yield partial(np.subtract, g, mean, out=g)
        yield partial(np.subtract, g, z, out=g)
        yield partial(np.multiply, g, inverse, out=g)
        yield put(part, job.dx[0].inner, job.adds[0])


class LocalResponseNorm(Operation):
    """y = x · f with f = d^−β and d = k + α/size · Σ x² over the neighbouring channels.

    dx = dy · f − 2αβ/size · x · Σ dy · x · f / d over those that a channel is a neighbour of.
    """

    keeps_input = True

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return d and the factors."""
        shape = shape_in(BATCH_LAST, self.node.shape, n)
        return {"d": shape, "factor": shape}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for squares, or for dx."""
        return {"part": n * math.prod(self.node.shape)}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the factors and the product."""
        layer: Any = self.node.layer
        x, d, factor = job.x[0].inner, job.kept["d"], job.kept["factor"]
        yield from response(layer, x, job.work("part").reshape(d.shape), d, 1)
        yield partial(np.power, d, -layer.beta, out=factor)
        yield partial(np.multiply, x, factor, out=job.y.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield both parts of dx; of an even size, neighbours are not those that a channel is a neighbour of."""
        if job.dx[0] is None or job.dy is None:
            return
        layer: Any = self.node.layer
        x, dy, d, factor = job.x[0].inner, job.dy.inner, job.kept["d"], job.kept["factor"]
        part = job.work("part").reshape(d.shape)
        yield partial(np.multiply, dy, factor, out=factor)
        yield partial(np.multiply, factor, x, out=part)
        yield partial(np.divide, part, d, out=part)
        yield from neighbour_sums(part, d, 1, layer.size, (layer.size - 1) // 2)
        yield partial(np.multiply, d, x, out=d)
        yield partial(np.multiply, d, 2 * layer.alpha * layer.beta / layer.size, out=d)
        yield partial(np.subtract, factor, d, out=part)
        yield put(part, job.dx[0].inner, job.adds[0])
