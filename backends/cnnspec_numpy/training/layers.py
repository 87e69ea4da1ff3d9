"""Dense layers, dropout, factors, and layers that only move numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy.plan.finish import nchw
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.methods.moved import moved, moves
from cnnspec_numpy.training.calls import add_up, axes_of, over_channels, put
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array
from cnnspec.graph.graph import Node


class Dense(Operation):
    """y = W · x + b; dW = dy · xᵀ, dx = Wᵀ · dy."""

    keeps_input = True

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for dx where another reader has written its part, and for the sum of dy."""
        return {"dx": self.node.in_shapes[0][0] * n, "ones": n}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the product and the bias."""
        y = job.y.inner
        yield partial(np.matmul, job.weights["weight"], job.x[0].inner, out=y)
        if "bias" in job.weights:
            yield partial(np.add, y, job.weights["bias"][:, None], out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the two products and the sum."""
        assert job.dy is not None
        dy, x = job.dy.inner, job.x[0].inner
        if "weight" in job.gradients:
            # Of one sample, the product is that of a column and a row.
            yield partial(np.matmul if job.n > 1 else np.multiply, dy, x.T, out=job.gradients["weight"])
        if "bias" in job.gradients:
            yield partial(np.add.reduce, dy, axis=1, out=job.gradients["bias"])
        if job.dx[0] is not None:
            place = job.dx[0].inner
            result = job.work("dx").reshape(place.shape) if job.adds[0] else place
            yield partial(np.matmul, job.weights["weight"].T, dy, out=result)
            if job.adds[0]:
                yield put(result, place, True)


class Flatten(Operation):
    """The image as one vector, in the order of [c, h, w]."""

    def _image(self, vector: Array, n: int) -> Array:
        """Return a vector [f, n] as an image [h, c, w, n]."""
        shape = self.node.in_shapes[0]
        return vector.reshape(*shape, n).transpose(1, 0, 2, 3) if len(shape) == 3 else vector

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield a copy."""
        yield partial(np.copyto, self._image(job.y.inner, job.n), job.x[0].inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a copy."""
        if job.dx[0] is not None and job.dy is not None:
            yield put(self._image(job.dy.inner, job.n), job.dx[0].inner, job.adds[0])


class Dropout(Operation):
    """Elements are kept by a mask that the plan is given for each step, and scaled by 1 / (1 − rate)."""

    in_place = True

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether elements are dropped at all."""
        return not node.frozen

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the factor of each element."""
        shape = self.node.shape
        return {"mask": (*shape, n) if len(shape) == 1 else (shape[1], shape[0], shape[2], n)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for dx where another reader has written its part."""
        return {"part": n * math.prod(self.node.shape)}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the product with the factors."""
        yield partial(np.multiply, job.x[0].inner, job.kept["mask"], out=job.y.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the product with the factors."""
        if job.dx[0] is None or job.dy is None:
            return
        dx = job.dx[0].inner
        result = job.work("part").reshape(dx.shape) if job.adds[0] else dx
        yield partial(np.multiply, job.dy.inner, job.kept["mask"], out=result)
        if job.adds[0]:
            yield put(result, dx, True)


class Scale(Operation):
    """y = factor · x for each channel, or for all."""

    keeps_input = True
    in_place = True

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for dx where another reader has written its part."""
        return {"part": n * math.prod(self.node.shape)}

    def _factor(self, job: Job) -> Any:
        layer: Any = self.node.layer
        return over_channels(job.weights["weight"], job.y.inner) if layer.learn else layer.value

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the product."""
        yield partial(np.multiply, job.x[0].inner, self._factor(job), out=job.y.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the sums of dy · x, and dy · factor."""
        assert job.dy is not None
        dy, axes = job.dy.inner, axes_of(job.dy.inner)
        if "weight" in job.gradients:
            yield partial(np.einsum, f"{axes},{axes}->c", dy, job.x[0].inner, out=job.gradients["weight"])
        if job.dx[0] is None:
            return
        dx = job.dx[0].inner
        result = job.work("part").reshape(dx.shape) if job.adds[0] else dx
        yield partial(np.multiply, dy, self._factor(job), out=result)
        if job.adds[0]:
            yield put(result, dx, True)


class Shift(Operation):
    """y = x + bias for each channel, or one number for all."""

    in_place = True

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the sum."""
        layer: Any = self.node.layer
        term = over_channels(job.weights["bias"], job.y.inner) if layer.learn else layer.value
        yield partial(np.add, job.x[0].inner, term, out=job.y.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the sums of dy, and dy."""
        assert job.dy is not None
        dy = job.dy.inner
        if "bias" in job.gradients:
            yield partial(np.einsum, f"{axes_of(dy)}->c", dy, out=job.gradients["bias"])
        if job.dx[0] is not None:
            yield put(dy, job.dx[0].inner, job.adds[0])


class Moved(Operation):
    """A copy of a view of the input, which may repeat numbers, or be less than all."""

    @classmethod
    def applies(cls, node: Node) -> bool:
        """Whether there is such a view."""
        return moves(node)

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the sums of what is repeated."""
        return {"sums": n * math.prod(self.node.shape)}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the copy."""
        source, place = moved(self.node, nchw(job.x[0]), nchw(job.y))
        if place.size < job.y.size:
            yield partial(job.y.inner.fill, self.node.layer.value)  # type: ignore[attr-defined]
        yield partial(np.copyto, place, source)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield zeros for what is not read, and dy, added up where it is a copy of one number."""
        if job.dx[0] is None or job.dy is None:
            return
        place, source = moved(self.node, nchw(job.dx[0]), nchw(job.dy))
        if place.size < job.dx[0].size and not job.adds[0]:
            yield partial(job.dx[0].inner.fill, 0)
        source = yield from add_up(source, place.shape, job.work("sums"))
        yield put(source, place, job.adds[0])
