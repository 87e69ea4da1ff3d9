"""Dense layers, activations, batch normalization, merges and the rest of what a training plan computes itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cnnspec_numpy.plan.functions import Call, function_of
from cnnspec_numpy.plan.value import BATCH_LAST, Value, channels_of
from cnnspec_numpy.training.calls import as_integers, put
from cnnspec_numpy.training.operation import Job, Operation

from cnnspec.arrays import Array


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
        # Of one sample, the product is that of a column and a row.
        yield partial(np.matmul if job.n > 1 else np.multiply, dy, x.T, out=job.gradients["weight"])
        if "bias" in job.weights:
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


class Activation(Operation):
    """An elementwise function whose derivative follows from its output."""

    keeps_output = True
    in_place = True

    @classmethod
    def applies(cls, node: Any) -> bool:
        """Whether the derivative is known."""
        if node.kind == "leaky_relu":
            return bool(0 < node.layer.slope <= 1)
        return node.kind in ("relu", "relu6", "sigmoid", "tanh")

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for the derivative."""
        size = n * math.prod(self.node.shape)
        return {"slope": size}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the function."""
        y = job.y.inner
        function = function_of(self.node.layer)
        assert function is not None
        spare = job.work("slope").reshape(y.shape)
        yield from function(self.node.layer, job.x[0].inner, y, spare, partial(job.constants.like, y))

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the derivative, and dx = dy · that."""
        if job.dx[0] is None or job.dy is None:
            return
        y, dy, dx = job.y.inner, job.dy.inner, job.dx[0].inner
        slope = job.work("slope").reshape(y.shape)
        result = slope if job.adds[0] else dx
        match self.node.kind:
            case "sigmoid":
                yield partial(np.subtract, 1.0, y, out=slope)
                yield partial(np.multiply, slope, y, out=slope)
                yield partial(np.multiply, dy, slope, out=result)
            case "tanh":
                yield partial(np.multiply, y, y, out=slope)
                yield partial(np.subtract, 1.0, slope, out=slope)
                yield partial(np.multiply, dy, slope, out=result)
            case "leaky_relu":
                layer: Any = self.node.layer
                # 1 where y is positive, the slope elsewhere: their mean plus or minus half of the difference.
                yield partial(np.subtract, 0.0, y, out=slope)
                yield partial(np.copysign, (1 - layer.slope) / 2, slope, out=slope)
                yield partial(np.subtract, (1 + layer.slope) / 2, slope, out=slope)
                yield partial(np.multiply, dy, slope, out=result)
            case _:
                yield from self._masked(y, dy, result, slope, job)
        if job.adds[0]:
            yield put(result, dx, True)

    def _masked(self, y: Array, dy: Array, out: Array, slope: Array, job: Job) -> Iterator[Call]:
        """Yield dy where 0 < y (and y < 6), and 0 elsewhere: −y has the sign bit there."""
        bits = as_integers(slope)
        shift = bits.itemsize * 8 - 1
        yield partial(np.subtract, 0.0, y, out=slope)
        yield partial(np.right_shift, bits, shift, out=bits)
        yield partial(np.bitwise_and, bits, as_integers(dy), out=as_integers(out))
        if self.node.kind == "relu6":
            yield partial(np.subtract, y, 6.0, out=slope)
            yield partial(np.right_shift, bits, shift, out=bits)
            yield partial(np.bitwise_and, bits, as_integers(out), out=as_integers(out))


class BatchNorm(Operation):
    """Each channel normalised by the mean and variance of the whole batch.

    With c = x − mean and r = 1 / √(variance + eps), y = weight · r · c + bias, and

        dbias = Σ dy,   dweight = r · Σ dy · c,   dx = weight · r · (dy − dbias / m − c · r · dweight / m)

    over the m numbers of a channel (Ioffe & Szegedy 2015, section 3). Sums are those over all shards.
    """

    def kept(self, n: int) -> dict[str, tuple[int, ...]]:
        """Return the centred input, and 1 / √(variance + eps)."""
        shape = self.node.shape
        c = shape[0]
        return {"centred": (c, n) if len(shape) == 1 else (shape[1], c, shape[2], n), "inverse": (c,), "sums": (2, c)}

    def workspace(self, n: int) -> dict[str, int]:
        """Return memory for factors of each channel, and for a part of dx."""
        return {"a": self.node.shape[0], "b": self.node.shape[0], "part": n * math.prod(self.node.shape)}

    def _channels(self, v: Array) -> Array:
        return v[:, None] if len(self.node.shape) == 1 else v[:, None, None]

    @property
    def _axes(self) -> str:
        return "cn" if len(self.node.shape) == 1 else "hcwn"

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield mean, centring, variance and the affine function; leave the next running statistics."""
        layer: Any = self.node.layer
        x, y, centred, inverse = job.x[0].inner, job.y.inner, job.kept["centred"], job.kept["inverse"]
        mean, variance = job.kept["sums"]
        count = job.batch * math.prod(self.node.shape[1:])
        a, weight, bias = job.work("a"), job.weights["weight"], job.weights["bias"]
        yield partial(np.einsum, f"{self._axes}->c", x, out=mean)
        yield job.sync(f"{self.node.name} mean", mean)
        yield partial(np.multiply, mean, 1 / count, out=mean)
        yield partial(np.subtract, x, self._channels(mean), out=centred)
        yield partial(np.einsum, f"{self._axes},{self._axes}->c", centred, centred, out=variance)
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
        yield partial(np.multiply, centred, self._channels(a), out=y)
        yield partial(np.add, y, self._channels(bias), out=y)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the gradients of weight and bias, and dx."""
        assert job.dy is not None
        dy, centred, inverse = job.dy.inner, job.kept["centred"], job.kept["inverse"]
        dweight, dbias = job.gradients["weight"], job.gradients["bias"]
        yield partial(np.einsum, f"{self._axes},{self._axes}->c", dy, centred, out=dweight)
        yield partial(np.multiply, dweight, inverse, out=dweight)
        yield partial(np.einsum, f"{self._axes}->c", dy, out=dbias)
        if job.dx[0] is None:
            return
        sums, dx = job.kept["sums"], job.dx[0].inner
        # The gradients stay those of this shard; dx takes the sums over all.
        yield partial(np.copyto, sums[0], dweight)
        yield partial(np.copyto, sums[1], dbias)
        yield job.sync(f"{self.node.name} gradients", sums)
        count = job.batch * math.prod(self.node.shape[1:])
        a, b = job.work("a"), job.work("b")
        yield partial(np.multiply, job.weights["weight"], inverse, out=a)
        yield partial(np.multiply, a, inverse, out=b)
        yield partial(np.multiply, b, sums[0], out=b)
        yield partial(np.multiply, b, 1 / count, out=b)  # weight · r² · dweight / m
        yield partial(np.multiply, centred, self._channels(b), out=centred)
        yield partial(np.multiply, a, sums[1], out=b)
        yield partial(np.multiply, b, 1 / count, out=b)
        result = job.work("part").reshape(dx.shape) if job.adds[0] else dx
        yield partial(np.multiply, dy, self._channels(a), out=result)
        yield partial(np.subtract, result, centred, out=result)
        yield partial(np.subtract, result, self._channels(b), out=result)
        if job.adds[0]:
            yield put(result, dx, True)


class Dropout(Operation):
    """Elements are kept by a mask that the plan is given for each step, and scaled by 1 / (1 − rate)."""

    in_place = True

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


class Add(Operation):
    """The sum of the branches; each has dy as its gradient."""

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield an addition for each branch."""
        first, *others = [x.inner for x in job.x]
        y = job.y.inner
        for other in others:
            yield partial(np.add, first, other, out=y)
            first = y

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a copy or an addition of dy for each branch."""
        assert job.dy is not None
        for dx, adds in zip(job.dx, job.adds, strict=True):
            if dx is not None:
                yield put(job.dy.inner, dx.inner, adds)


class Concat(Operation):
    """The channels of the branches, one after the other."""

    def _parts(self, whole: Value) -> Iterator[Array]:
        first = 0
        for shape in self.node.in_shapes:
            yield channels_of(BATCH_LAST, whole.inner, first, first + shape[0])
            first += shape[0]

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield a copy of each branch."""
        for x, part in zip(job.x, self._parts(job.y), strict=True):
            yield partial(np.copyto, part, x.inner)

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield a copy or an addition of each branch's channels of dy."""
        assert job.dy is not None
        for dx, part, adds in zip(job.dx, self._parts(job.dy), job.adds, strict=True):
            if dx is not None:
                yield put(part, dx.inner, adds)
