"""Dense layers: the weights are permuted once to the layout in which the image before `flatten` is stored."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from cnnspec.arrays import Array
from cnnspec.layers import Shape
from cnnspec_numpy.plan.finish import stages_cost
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import PASS, Job, product_cost
from cnnspec_numpy.plan.methods.pool import InLayout
from cnnspec_numpy.plan.value import CHANNELS_LAST, Layout


def permuted(weight: Array, image: Shape, layout: Layout) -> Array:
    """Return the weight [o, f] for features in the order in which an image [c, h, w] is stored without its batch."""
    if len(image) == 1:
        return weight
    axes = (0, 2, 3, 1) if layout is CHANNELS_LAST else (0, 2, 1, 3)
    return weight.reshape(len(weight), *image).transpose(axes).reshape(weight.shape)


class Dense(InLayout):
    """One matrix product; lanes share the outputs."""

    name = "product"
    takes_flattened = True

    def cost(self, operation: Operation, n: int) -> float:
        """Estimate the product, in which the weights come from memory."""
        (f,), (o,) = operation.node.in_shapes[0], operation.node.shape
        memory = o * f * 4 / 15e9
        product = product_cost(n, f, o) if self.layout is CHANNELS_LAST else product_cost(o, f, n)
        return max(product if n > 1 else 0.0, memory) + 2e-6 + stages_cost(operation, n * o) * PASS

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return memory for the features in one piece, the products and the stages."""
        (f,), (o,) = operation.node.in_shapes[0], operation.node.shape
        return {"features": n * f, "product": n * o, "spare": n * o}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the product and the finish."""
        node, x, n = job.operation.node, job.x[0], job.y.n
        (f,), (o,) = node.in_shapes[0], node.shape
        last = self.layout is CHANNELS_LAST
        _, (first, end) = job.divided((), o, shares_channels=True)
        if first == end:
            return
        inner = x.inner
        if not inner.flags.c_contiguous:
            features = job.work("features")[: n * f].reshape(inner.shape)
            yield partial(np.copyto, features, inner)
            inner = features
        matrix = inner.reshape((n, f) if last else (f, n))

        def view(y: Array) -> Array:
            return y[:, first:end] if last else y[first:end]

        place = view(job.y.inner)
        # The order of the features is that of the layout.
        key = f"dense {self.layout.value} {x.image}"
        weights = job.prepared(key, lambda read: permuted(read("weight"), x.image, self.layout))[first:end]
        if n == 1:
            # A product of matrix and vector streams the weights [o, f] whole.
            result = _vector(place, job, end - first)
            yield partial(np.dot, weights, matrix.reshape(f), out=result)
            result = result.reshape(place.shape)
        else:
            yield partial(np.matmul, *((matrix, weights.T) if last else (weights, matrix)), out=place)
            result = place
        yield from job.finish(result, view, job.work("spare"), channel_axis=-1 if last else -2, channels=(first, end))


def _vector(place: Array, job: Job, count: int) -> Array:
    """Return the place of one sample's outputs as a vector, or memory for it where that is not one run."""
    if place.flags.c_contiguous:
        return place.reshape(count)
    return job.work("product")[:count]
