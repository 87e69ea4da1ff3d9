"""Any layer by its readable kernel, on copies with the axes [n, c, ...]: for what a training plan does not compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cnnspec_numpy.kernels import Context, kernels_of_kinds
from cnnspec_numpy.kernels.base import Backward
from cnnspec_numpy.plan.finish import nchw
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.training.operation import Job, Operation


class Kernel(Operation):
    """A kernel and its backward closure, which keeps what it needs."""

    def __init__(self, node: Any, needs_dx: tuple[bool, ...]) -> None:
        super().__init__(node, needs_dx)
        self._kernel = kernels_of_kinds([node.kind])[node.kind]
        self._backward: dict[int, Backward] = {}

    def forward(self, job: Job) -> Iterator[Call]:
        """Yield the call of the kernel."""

        def call() -> None:
            state: dict[str, Any] = {}
            context: Context[Any] = Context(
                self.node,
                job.weights,
                training=not self.node.frozen,
                seed=job.moment.seed,
                step=job.moment.step,
                first=job.moment.first,
                samples=job.moment.samples,
                needs_input_gradient=any(self.needs_dx),
                state=state,
            )
            # Copies: the closure reads them after their memory has been used for something else.
            y, self._backward[id(job)] = self._kernel(context, *(np.array(nchw(x), order="C") for x in job.x))
            nchw(job.y)[...] = y
            for key, place in job.state.items():
                place[...] = state.get(self.node.arrays[key], job.weights[key])

        yield call

    def backward(self, job: Job) -> Iterator[Call]:
        """Yield the call of the closure."""

        def call() -> None:
            assert job.dy is not None
            dxs, gradients = self._backward.pop(id(job))(np.ascontiguousarray(nchw(job.dy)))
            for place, adds, dx in zip(job.dx, job.adds, dxs, strict=True):
                if place is not None and dx is not None:
                    into = nchw(place)
                    if adds:
                        into += dx
                    else:
                        into[...] = dx
            for key, gradient in gradients.items():
                if key in job.gradients:
                    job.gradients[key][...] = gradient

        yield call
