"""Running a graph by plans: a batch in chunks that stay in the cache, on several threads."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.costs import peak_activation_bytes
from cnnspec.graph.graph import Graph
from cnnspec.runtime.model import PlanStep
from cnnspec_numpy.options import Options
from cnnspec_numpy.plan.choice import Choice, Measure, choose
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.method import Method
from cnnspec_numpy.plan.plan import Plan, Step
from cnnspec_numpy.plan.weights import Prepared
from cnnspec_numpy.threads import Team, default_threads, one_blas_thread

CHUNK_BYTES = 3 << 19
"""What the activations of a chunk may take: they and the workspace should stay in the second-level cache."""
SHARE_SECONDS = 6e-5
"""A thread is given no less work than that."""


class Executor:
    """The plans of a graph by batch size, made when they are first needed and kept.

    Several threads may call `run` at the same time: each takes plans of its own.
    """

    def __init__(
        self,
        graph: Graph,
        read: Callable[[str], Array],
        dtype: npt.DTypeLike,
        options: Options,
    ) -> None:
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self.threads = options.threads or default_threads()
        self.fast = options.numerics == "fast"
        self.prepared = Prepared(read, self.dtype)
        self.operations = lower(graph)
        self._measure: Measure = estimated
        self._sample_bytes = peak_activation_bytes(graph, 1, self.dtype.itemsize)
        self._choices: dict[int, list[Choice]] = {}
        self._free: dict[tuple[int, int], list[Plan]] = {}
        self._lock = threading.Lock()
        self._team: Team | None = None
        self._team_lock = threading.Lock()

    # Plans

    def choices(self, n: int) -> list[Choice]:
        """Return the method of each operation for n samples."""
        if n not in self._choices:
            self._choices[n] = choose(self.operations, n, self.fast, self._measure)
        return self._choices[n]

    @contextmanager
    def plan(self, n: int, lanes: int = 1) -> Iterator[Plan]:
        """Yield a plan for n samples that no other thread uses."""
        with self._lock:
            free = self._free.setdefault((n, lanes), [])
            plan = free.pop() if free else None
            if plan is None:
                plan = Plan(self.graph, self.choices(n), n, self.prepared, self.dtype, lanes)
        try:
            yield plan
        finally:
            with self._lock:
                free.append(plan)

    def seconds(self, n: int) -> float:
        """Return the estimated time of n samples on one thread."""
        return sum(choice.seconds for choice in self.choices(n))

    def refresh(self) -> None:
        """Compute the prepared weights again."""
        with self._lock:
            self.prepared.refresh()

    # Running

    def _uses_lanes(self, n: int) -> bool:
        """Whether threads share the work of each layer, since there are too few samples for all of them."""
        return n < self.threads and self.seconds(n) > 4 * SHARE_SECONDS

    def split(self, n: int) -> list[list[slice]]:
        """Return the chunks of a batch of n samples for each thread."""
        most = max(1, CHUNK_BYTES // self._sample_bytes)
        first = min(n, most)
        threads = min(self.threads, n, max(1, int(self.seconds(first) / first * n / SHARE_SECONDS)))
        shares = [slice(i * n // threads, (i + 1) * n // threads) for i in range(threads)]
        return [chunks_of(share, most) for share in shares]

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        """Return every output by name: inputs [n, c, h, w] -> outputs [n, ...]."""
        n = len(next(iter(inputs.values())))
        outputs = {name: np.empty((n, *self.graph.by_name[name].shape), self.dtype) for name in self.graph.outputs}
        if self._uses_lanes(n):
            with self._members() as team, self.plan(n, self.threads if team else 1) as plan:
                plan.load(inputs)
                run_lanes(plan, team)
                plan.store(outputs)
            return outputs
        shares = self.split(n)
        if len(shares) == 1 and self.threads == 1:
            with one_blas_thread():
                self._run_chunks(shares[0], inputs, outputs)
            return outputs

        def task(chunks: list[slice]) -> Callable[[], None]:
            return lambda: self._run_chunks(chunks, inputs, outputs)

        if len(shares) == 1:
            self._run_chunks(shares[0], inputs, outputs)
            return outputs
        with self._members() as team:
            tasks = [task(chunks) for chunks in shares]
            if team is None:
                for each in tasks:
                    each()
            else:
                team.run(tasks)
        return outputs

    def listing(self, n: int) -> list[PlanStep]:
        """Return the steps for a batch of n samples (for one of its chunks, where it is cut), timed on random input."""
        lanes = self.threads if self._uses_lanes(n) else 1
        chunk = n if lanes > 1 else max(c.stop - c.start for c in self.split(n)[0])
        rng = np.random.default_rng(0)
        shapes = {name: self.graph.by_name[name].shape for name in self.graph.inputs}
        with self._members() as team, self.plan(chunk, lanes) as plan, np.errstate(all="ignore"):
            plan.load({name: rng.standard_normal((chunk, *shape)).astype(self.dtype) for name, shape in shapes.items()})
            least = [math.inf] * len(plan.steps)
            for _ in range(5):
                for i, step in enumerate(plan.steps):
                    begin = perf_counter()
                    run_step(step, team)
                    least[i] = min(least[i], perf_counter() - begin)
            return [
                PlanStep(
                    step.name, step.kinds, step.method, step.layout.value, step.shape,
                    math.prod(step.shape) * self.dtype.itemsize, step.workspace, len(step.lanes), step.seconds, seconds,
                )
                for step, seconds in zip(plan.steps, least, strict=True)
            ]  # fmt: skip

    def _run_chunks(self, chunks: list[slice], inputs: Mapping[str, Array], outputs: Arrays) -> None:
        for chunk in chunks:
            with self.plan(chunk.stop - chunk.start) as plan, np.errstate(all="ignore"):
                plan.load({name: x[chunk] for name, x in inputs.items()})
                plan.run()
                plan.store({name: y[chunk] for name, y in outputs.items()})

    @contextmanager
    def _members(self) -> Iterator[Team | None]:
        """Yield the threads, or None while another thread uses them; BLAS keeps to one thread meanwhile."""
        if not self._team_lock.acquire(blocking=False):
            with one_blas_thread():
                yield None
            return
        try:
            if self._team is None or not self._team.is_alive:
                self._team = Team(self.threads)
                weakref.finalize(self, self._team.close)
            with one_blas_thread():
                yield self._team
        finally:
            self._team_lock.release()


def estimated(operation: Any, method: Method, n: int) -> float:
    """Return the estimated seconds of a method."""
    return method.cost(operation, n)


def run_lanes(plan: Plan, team: Team | None) -> None:
    """Run every step of a plan, each on as many threads as it has lanes."""
    with np.errstate(all="ignore"):
        for step in plan.steps:
            run_step(step, team)


def run_step(step: Step, team: Team | None) -> None:
    """Run a step: its lanes at the same time on a team's threads, or one after the other."""
    if len(step.lanes) == 1 or team is None:
        for calls in step.lanes:
            for call in calls:
                call()
    else:
        team.run([partial(_run_lane, calls) for calls in step.lanes])


def _run_lane(calls: list[Call]) -> None:
    with np.errstate(all="ignore"):
        for call in calls:
            call()


def chunks_of(share: slice, most: int) -> list[slice]:
    """Return a range cut into pieces of at most `most` samples, whose sizes differ by one at most."""
    size = share.stop - share.start
    count = math.ceil(size / most)
    return [slice(share.start + i * size // count, share.start + (i + 1) * size // count) for i in range(count)]
