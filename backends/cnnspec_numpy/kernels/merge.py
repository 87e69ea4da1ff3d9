"""Merges."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Node
from cnnspec.layers.merge import Add, Concat, Divide, Matmul, Maximum, Mean, Minimum, Multiply, Subtract
from cnnspec_numpy.kernels.base import Context, Result


def add(context: Context[Add], *xs: Array) -> Result:
    """y = Σ x."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return (dy,) * len(xs), {}

    return reduce(np.add, xs), backward


def multiply(context: Context[Multiply], *xs: Array) -> Result:
    """y = Π x, axes of size one stretched."""
    full = _images(context.node, xs)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dxs = [reduce(np.multiply, full[:i] + full[i + 1 :], dy) for i in range(len(full))]
        return _unstretched(dxs, xs), {}

    return reduce(np.multiply, full), backward


def subtract(context: Context[Subtract], *xs: Array) -> Result:
    """y = the first x less the others, axes of size one stretched."""

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return _unstretched([dy, *[-dy] * (len(xs) - 1)], xs), {}

    return reduce(np.subtract, _images(context.node, xs)), backward


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def divide(context: Context[Divide], *xs: Array) -> Result:
    """y = the first x divided by the others, axes of size one stretched."""
    first, *others = _images(context.node, xs)
    y = reduce(np.divide, others, first)

    @np.errstate(divide="ignore", over="ignore", invalid="ignore")
    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dxs = [reduce(np.divide, others, dy), *(-dy * y / other for other in others)]
        return _unstretched(dxs, xs), {}

    return y, backward


def maximum(context: Context[Maximum], *xs: Array) -> Result:
    """y = the largest x, axes of size one stretched."""
    return _chosen(np.maximum, context.node, xs)


def minimum(context: Context[Minimum], *xs: Array) -> Result:
    """y = the smallest x, axes of size one stretched."""
    return _chosen(np.minimum, context.node, xs)


def _chosen(choose: np.ufunc, node: Node, xs: tuple[Array, ...]) -> Result:
    """One branch after the other, `choose` of two numbers at a time; equal ones get half of dy each."""
    first, *others = _images(node, xs)
    y = first
    shares = []
    for other in others:
        before, y = y, choose(y, other)
        # How much of y's gradient the branches before this one get.
        shares.append(np.where(before == other, y.dtype.type(0.5), (y == before).astype(y.dtype)))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        dxs = []
        for share in reversed(shares):
            dxs.append(dy * (1 - share))
            dy = dy * share
        return _unstretched([dy, *reversed(dxs)], xs), {}

    return y, backward


def mean(context: Context[Mean], *xs: Array) -> Result:
    """y = Σ x / how many, axes of size one stretched."""
    count = len(xs)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        return _unstretched([dy / count] * count, xs), {}

    return reduce(np.add, _images(context.node, xs)) / count, backward


def _images(node: Node, xs: tuple[Array, ...]) -> list[Array]:
    """Return all x with the axes of the output, of size one behind those that they have."""
    rank = 1 + len(node.shape)
    return [x.reshape(*x.shape, *[1] * (rank - x.ndim)) for x in xs]


def _unstretched(dxs: Iterable[Array], xs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return the gradient of each x from that of its elements as often as the output has them."""
    return tuple(
        _summed(dx, (*x.shape, *[1] * (dx.ndim - x.ndim))).reshape(x.shape) for dx, x in zip(dxs, xs, strict=True)
    )


def _summed(dx: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum along the axes that a shape with as many axes has one element of."""
    stretched = tuple(axis for axis, (n, m) in enumerate(zip(dx.shape, shape, strict=True)) if m < n)
    return dx.sum(stretched, keepdims=True) if stretched else dx


def matmul(context: Context[Matmul], a: Array, b: Array) -> Result:
    """y = a · b over the last two axes."""
    rank = max(a.ndim, b.ndim)
    # Axes of size one behind the batch, so that both have as many.
    a_, b_ = (x.reshape(len(x), *[1] * (rank - x.ndim), *x.shape[1:]) for x in (a, b))

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        da, db = dy @ b_.swapaxes(-1, -2), a_.swapaxes(-1, -2) @ dy
        return (_summed(da, a_.shape).reshape(a.shape), _summed(db, b_.shape).reshape(b.shape)), {}

    return a_ @ b_, backward


def concat(context: Context[Concat], *xs: Array) -> Result:
    """The channels of all x (or what they have along another axis), one after the other."""
    axis = 1 + context.layer.position(context.node.shape)

    def backward(dy: Array) -> tuple[tuple[Array, ...], Arrays]:
        ends = np.cumsum([x.shape[axis] for x in xs[:-1]])
        return tuple(np.split(dy, ends, axis=axis)), {}

    return np.concatenate(xs, axis=axis), backward
