"""Normalisation at inference, where it cannot be folded into the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Job
from cnnspec_numpy.plan.methods.whole import OverOutput
from cnnspec_numpy.plan.value import CHANNELS_LAST


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
