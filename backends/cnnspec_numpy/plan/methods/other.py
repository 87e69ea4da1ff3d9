"""Elementwise layers, merges, layers that move numbers, and the kernel of any layer that has no method of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.kernels import Context, kernels_of_kinds
from cnnspec_numpy.plan.finish import View, nchw, stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import CALL, PASS, Block, Job
from cnnspec_numpy.plan.methods.pool import InLayout
from cnnspec_numpy.plan.value import CHANNELS_LAST, Value, channels_of, from_nchw


class OverOutput(InLayout):
    """A method whose result is a block of the whole output; lanes leave it to the first."""

    passes = 1.0
    adds_bias = False
    """Whether `fill` adds the layer's bias, so that the finish does not."""

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate some passes over the output, and the stages."""
        size = n * math.prod(operation.node.shape)
        return 4 * CALL + size * self.passes * PASS + stages_cost(operation, size) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the result, and memory for the stages."""
        size = n * math.prod(operation.node.shape)
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the calls of `fill`, and the finish."""
        if job.lane:
            return
        place, y = job.y.inner, job.y
        direct = place.flags.c_contiguous
        result = place if direct else job.work("product")[: place.size].reshape(place.shape)
        yield from self.fill(job, result)
        axis = self.channel_axis if len(y.image) == 3 else (-1 if self.layout is CHANNELS_LAST else -2)
        yield from job.finish(result, lambda z: z, job.work("spare"), channel_axis=axis, bias=not self.adds_bias)

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the calls that write the layer's output to `out`, an array of the layout."""
        raise NotImplementedError


class Blocked(OverOutput):
    """A method that computes each element of the output from those at its place, block by block."""

    def _blocks(self, operation: Operation, n: int, lanes: int) -> list[Block] | None:
        """Return blocks of rows of an image; None for a vector, which is one block."""
        shape = operation.node.shape
        return self.row_blocks(operation, n, 3 * shape[0] * shape[2], lanes) if len(shape) == 3 else None

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the result of a block, and memory for the stages."""
        shape, blocks = operation.node.shape, self._blocks(operation, n, lanes)
        size = n * math.prod(shape)
        if blocks is not None:
            size = max((b.n1 - b.n0) * (b.r1 - b.r0) for b in blocks) * shape[0] * shape[2]
        return {"product": size, "spare": size}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the calls of `combine` and the finish for each block."""
        blocks = self._blocks(job.operation, job.y.n, job.lanes)
        channels_last = self.layout is CHANNELS_LAST
        if blocks is None:
            flat_axis = self.channel_axis if len(job.y.image) == 3 else (-1 if channels_last else -2)
            yield from self._block(job, lambda z: z, flat_axis) if not job.lane else ()
            return
        for block in job.share(blocks):

            def view(z: Array, block: Block = block) -> Array:
                return self.rows_of(z, block, block.r0, block.r1)

            yield from self._block(job, view, self.channel_axis)

    def _block(self, job: Job, view: View, axis: int) -> Iterator[Call]:
        place = view(job.y.inner)
        result = place if place.flags.c_contiguous else job.work("product")[: place.size].reshape(place.shape)
        yield from self.combine(job, [view(x.inner) for x in job.x], result, axis)
        yield from job.finish(result, view, job.work("spare"), channel_axis=axis)

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield the calls that compute a block; `out` may be the first of xs."""
        raise NotImplementedError


class Elementwise(Blocked):
    """A function of each number by itself."""

    name = "elementwise"
    in_place = True

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield the function's calls."""
        yield from job.finish.apply(job.operation.node, xs[0], out, job.work("spare"), axis)


class Add(Blocked):
    """The sum of the branches."""

    name = "sum"
    in_place = True

    def combine(self, job: Job, xs: list[Array], out: Array, axis: int) -> Iterator[Call]:
        """Yield an addition for each branch."""
        first, *others = xs
        for other in others:
            yield partial(np.add, first, other, out=out)
            first = out


class Multiply(OverOutput):
    """The product of the branches; gates are broadcast."""

    name = "product of branches"

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield a multiplication for each branch, the full image first."""
        arrays = [self._image(x) for x in job.x]
        first, *others = sorted(arrays, key=lambda a: -a.size)
        for other in others:
            yield partial(np.multiply, first, other, out=out)
            first = out

    def _image(self, x: Value) -> Array:
        """Return a vector over the channels as an image of one element."""
        if x.inner.ndim == 4:
            return x.inner
        return x.inner[:, None, None, :] if self.layout is CHANNELS_LAST else x.inner[None, :, None, :]

    def applies(self, operation: Operation) -> bool:
        """Whether the output is an image."""
        return len(operation.node.shape) == 3


class Concat(InLayout):
    """The channels of all branches; those that wrote into their place already need no copy."""

    name = "concat"

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate that most branches wrote into their place."""
        return CALL

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield a copy for each branch whose memory is elsewhere."""
        if job.lane:
            return
        first = 0
        for x in job.x:
            c = x.image[0]
            if x.parent is not job.y:
                place = channels_of(self.layout, job.y.inner, first, first + c)
                yield partial(np.copyto, place, x.inner)
            first += c


class Moved(OverOutput):
    """Layers that only move numbers: the output is a copy of a view of the input."""

    name = "copy"
    passes = 4.0

    def applies(self, operation: Operation) -> bool:
        """Whether there is such a view."""
        node = operation.node
        if len(node.in_shapes[0]) != 3 or operation.pool is not None:
            return False
        mode = getattr(node.layer, "mode", "")
        return (node.kind, mode) in MOVES

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the copy."""
        node = job.operation.node
        yield from MOVES[node.kind, getattr(node.layer, "mode", "")](node, nchw(job.x[0]), _as_nchw(job, out))


def _as_nchw(job: Job, out: Array) -> Array:
    return nchw(_like(job.y, out))


def _like(value: Value, array: Array) -> Value:
    """Return a value of the same layout whose array is another."""
    found = Value(value.name, value.layout, value.shape, value.n, value.image)
    found.bind(array)
    return found


def _crop(node: Any, x: Array, y: Array) -> Iterator[Call]:
    kept = [slice(-w.before, w.out - w.before) for w in node.windows]
    yield partial(np.copyto, y, x[:, :, kept[0], kept[1]])


def _pad(node: Any, x: Array, y: Array) -> Iterator[Call]:
    (top, _), (left, _) = ((w.before, w.after) for w in node.windows)
    yield partial(y.fill, node.layer.value)
    yield partial(np.copyto, y[:, :, top : top + x.shape[2], left : left + x.shape[3]], x)


def _shuffle(node: Any, x: Array, y: Array) -> Iterator[Call]:
    groups = node.layer.groups
    n, c, h, w = x.shape
    yield partial(
        np.copyto,
        y.reshape(n, c // groups, groups, h, w),
        x.reshape(n, groups, c // groups, h, w).transpose(0, 2, 1, 3, 4),
    )


def _upsample(node: Any, x: Array, y: Array) -> Iterator[Call]:
    sh, sw = node.layer.scale
    n, c, h, w = x.shape
    yield partial(np.copyto, y.reshape(n, c, h, sh, w, sw), x[:, :, :, None, :, None])


MOVES: dict[tuple[str, str], Any] = {
    ("crop", ""): _crop,
    ("pad", "constant"): _pad,
    ("channel_shuffle", ""): _shuffle,
    ("upsample", "nearest"): _upsample,
}
"""By kind and mode: what copies x [n, c, h, w] to y, both views of arrays in some layout."""


class LayerNorm(OverOutput):
    """Each position normalised over its channels, which are the last axis."""

    name = "layer norm"
    passes = 8.0

    def applies(self, operation: Operation) -> bool:
        """Whether the mean is that of the channels at each position."""
        layer: Any = operation.node.layer
        return self.layout is CHANNELS_LAST and layer.axes == "channels" and len(operation.node.shape) == 3

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return what every method has, and the statistics of each position."""
        positions = n * math.prod(operation.node.shape[1:])
        return super().workspace(operation, n, lanes) | {"mean": positions, "variance": positions}

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield mean, centring, variance, scaling and shift."""
        node, x = job.operation.node, job.x[0].inner
        layer: Any = node.layer
        c = node.shape[0]
        mean, variance = (job.work(key)[: x.size // c].reshape(*x.shape[:3], 1) for key in ("mean", "variance"))
        yield partial(np.einsum, "nhwc->nhw", x, out=mean[..., 0])
        yield partial(np.multiply, mean, 1 / c, out=mean)
        yield partial(np.subtract, x, mean, out=out)
        yield partial(np.einsum, "nhwc,nhwc->nhw", out, out, out=variance[..., 0])
        yield partial(np.multiply, variance, 1 / c, out=variance)
        yield partial(np.add, variance, layer.eps, out=variance)
        yield partial(np.sqrt, variance, out=variance)
        yield partial(np.divide, out, variance, out=out)
        yield partial(np.multiply, out, job.finish.vector(node, "weight", 1)[0], out=out)
        yield partial(np.add, out, job.finish.vector(node, "bias", 1)[0], out=out)


class Transposed(OverOutput):
    """Transposed convolution: one product, and each tap of it added to its place."""

    name = "product and taps"
    passes = 12.0

    def applies(self, operation: Operation) -> bool:
        """Whether the windows have two axes and the channels are one group, with the channels last."""
        node = operation.node
        groups: int = node.layer.groups  # type: ignore[attr-defined]
        return self.layout is CHANNELS_LAST and len(node.windows) == 2 and groups == 1 and operation.pool is None

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the product and the taps."""
        node = operation.node
        return super().cost(operation, n) + 2 * n * node.layer.macs(node.in_shapes, node.shape) / 60e9

    def _sizes(self, operation: Operation) -> tuple[Sequence[int], int, int]:
        """Return the sizes of the output with its padding, the taps, and the positions of the input."""
        node = operation.node
        sizes = [w.before + w.out + max(0, w.after) for w in node.windows]
        reach = [(n - 1) * w.stride + w.span for n, w in zip(node.in_shapes[0][1:], node.windows, strict=True)]
        return list(map(max, sizes, reach)), math.prod(w.kernel for w in node.windows), math.prod(node.in_shapes[0][1:])

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return the image in one piece, the products, and the output with its padding."""
        sizes, taps, positions = self._sizes(operation)
        c, o = operation.node.in_shapes[0][0], operation.node.shape[0]
        own = {"image": n * positions * c, "taps": n * positions * taps * o, "padded": n * math.prod(sizes) * o}
        return super().workspace(operation, n, lanes) | own

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the product and the additions."""
        node, n, x = job.operation.node, job.y.n, job.x[0].inner
        (c, h, w), o = node.in_shapes[0], node.shape[0]
        sizes, taps, positions = self._sizes(job.operation)
        wh, ww = node.windows
        if not x.flags.c_contiguous:
            image = job.work("image")[: x.size].reshape(x.shape)
            yield partial(np.copyto, image, x)
            x = image
        weights = job.prepared(
            "transposed", lambda read: read("weight").transpose(0, 2, 3, 1).reshape(c, -1)
        )  # [c, kh·kw·o]
        products = job.work("taps")[: n * positions * taps * o].reshape(n * positions, taps * o)
        yield partial(np.matmul, x.reshape(n * positions, c), weights, out=products)
        by_tap = products.reshape(n, h, w, wh.kernel, ww.kernel, o)
        padded = job.work("padded")[: n * math.prod(sizes) * o].reshape(n, *sizes, o)
        yield partial(padded.fill, 0)
        for i in range(wh.kernel):
            for j in range(ww.kernel):
                rows = slice(i * wh.dilation, i * wh.dilation + (h - 1) * wh.stride + 1, wh.stride)
                columns = slice(j * ww.dilation, j * ww.dilation + (w - 1) * ww.stride + 1, ww.stride)
                place = padded[:, rows, columns]
                yield partial(np.add, place, by_tap[:, :, :, i, j], out=place)
        inside = padded[:, wh.before : wh.before + wh.out, ww.before : ww.before + ww.out]
        yield partial(np.copyto, out, inside)


class Kernel(OverOutput):
    """The readable kernel of the interpreter, on a copy with the axes [n, c, h, w]: for what has no other method."""

    name = "kernel"
    passes = 30.0
    adds_bias = True

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate some passes, and the arithmetic at a third of BLAS' speed."""
        node = operation.node
        arithmetic = 2 * n * node.layer.macs(node.in_shapes, node.shape) / 25e9
        return 1e-5 + super().cost(operation, n) + arithmetic

    def fill(self, job: Job, out: Array) -> Iterator[Call]:
        """Yield the call of the kernel."""
        node = job.operation.node
        kernel = kernels_of_kinds([node.kind])[node.kind]
        arrays = [nchw(x) for x in job.x]
        shapes = [(x.n, *x.shape) for x in job.x]
        params = {key: job.prepared(f"kernel {key}", _reader(key)) for key in node.parameters}
        context: Context[Any] = Context(node, params)

        def call() -> None:
            y, _ = kernel(context, *(np.ascontiguousarray(a).reshape(s) for a, s in zip(arrays, shapes, strict=True)))
            np.copyto(out, from_nchw(job.y.layout, y))

        yield call


def _reader(key: str) -> Any:
    return lambda read: read(key)
