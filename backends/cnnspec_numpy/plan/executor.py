"""Running a graph by plans: a batch in chunks that stay in the cache, on several threads."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np
import numpy.typing as npt

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.costs import peak_activation_bytes
from cnnspec.graph.graph import Graph
from cnnspec.runtime.plan import PlanStep
from cnnspec_numpy.options import Options
from cnnspec_numpy.plan.autotune import Autotuner
from cnnspec_numpy.plan.choice import Choice, choose, conversion_cost, estimated
from cnnspec_numpy.plan.lower import lower
from cnnspec_numpy.plan.plan import Plan
from cnnspec_numpy.plan.weights import Prepared
from cnnspec_numpy.settings import with_plan_settings
from cnnspec_numpy.threads import Team, default_threads, one_blas_thread

CHUNK_BYTES = 3 << 19
"""What the activations of a chunk may take: they and the workspace should stay in the second-level cache."""
LINE = 16
"""Numbers of a cache line, in float32."""
SHARE_SECONDS = 6e-5
"""A thread is given no less work than that."""


@dataclass(frozen=True)
class Schedule:
    """How a batch is divided: the chunks of each thread, or one chunk whose steps have lanes."""

    shares: list[list[slice]]
    lanes: int
    is_short: bool = False
    """Whether it is one chunk of so little work that BLAS starts no threads by itself."""

    @property
    def sizes(self) -> set[int]:
        """The numbers of samples of its chunks."""
        return set().union(*map(sizes_of, self.shares))


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
        self._tuner = Autotuner(self.dtype) if options.autotune else None
        self._sample_bytes = peak_activation_bytes(graph, 1, self.dtype.itemsize)
        self._choices: dict[int, list[Choice]] = {}
        self._schedules: dict[int, Schedule] = {}
        self._free: dict[tuple[int, int], list[Plan]] = {}
        self._lock = threading.Lock()
        self._team: Team | None = None
        # Re-entrant: an interrupt right behind its acquisition leaves it to the thread that has it already.
        self._team_lock = threading.RLock()

    # Plans

    def choices(self, n: int) -> list[Choice]:
        """Return the method of each operation for n samples."""
        if n not in self._choices:
            if self._tuner is not None:
                self._choices[n] = self._tuner.choose(self.graph, self.operations, n, self.fast)
            else:
                self._choices[n] = choose(self.operations, n, self.fast, estimated, conversion_cost)
        return self._choices[n]

    @contextmanager
    def _plans(self, schedule: Schedule) -> Iterator[list[dict[int, Plan]]]:
        """Yield plans for each share of a batch, by chunk size, that no other thread uses meanwhile."""
        with self._lock:
            found = [{n: self._take(n, schedule.lanes) for n in sizes_of(chunks)} for chunks in schedule.shares]
        try:
            yield found
        finally:
            with self._lock:
                for plans in found:
                    for n, plan in plans.items():
                        self._free[n, schedule.lanes].append(plan)

    def _take(self, n: int, lanes: int) -> Plan:
        free = self._free.setdefault((n, lanes), [])
        return free.pop() if free else self.new_plan(n, lanes)

    def new_plan(self, n: int, lanes: int = 1) -> Plan:
        """Return a plan for n samples, each of whose longer steps is divided into lanes."""
        return Plan(self.graph, self.choices(n), n, self.prepared, self.dtype, lanes)

    def seconds(self, n: int) -> float:
        """Return the estimated time of n samples on one thread."""
        return sum(choice.seconds for choice in self.choices(n))

    def refresh(self) -> None:
        """Compute the prepared weights again."""
        with self._lock:
            self.prepared.refresh()

    # Running

    def schedule(self, n: int) -> Schedule:
        """Return how a batch of n samples is divided among the threads."""
        found = self._schedules.get(n)
        if found is None:
            most = max(1, CHUNK_BYTES // self._sample_bytes)
            first = min(n, most)
            seconds = self.seconds(first) / first * n
            if n < self.threads and seconds > 4 * SHARE_SECONDS:
                found = Schedule([[slice(0, n)]], self.threads)
            else:
                threads = max(1, min(self.threads, n, int(seconds / SHARE_SECONDS)))
                shares = [slice(i * n // threads, (i + 1) * n // threads) for i in range(threads)]
                found = Schedule([chunks_of(share, most) for share in shares], 1, n <= most and seconds < SHARE_SECONDS)
            for chunk in found.sizes:
                self.choices(chunk)  # not from threads side by side, which would disturb each other's measurements
            self._schedules[n] = found
        return found

    def run(self, inputs: Mapping[str, Array]) -> Arrays:
        """Return every output by name: inputs [n, c, h, w] -> outputs [n, ...]."""
        n = len(next(iter(inputs.values())))
        outputs = {name: np.empty((n, *self.graph.by_name[name].shape), self.dtype) for name in self.graph.outputs}
        schedule = self.schedule(n)
        if schedule.is_short:
            with self._lock:
                plan = self._take(n, 1)
            with np.errstate(all="ignore"):  # the other settings take longer to set than they gain here
                run_chunk(plan, inputs, outputs)
            with self._lock:
                self._free[n, 1].append(plan)
        elif len(schedule.shares) == 1 and schedule.lanes == 1:
            with one_blas_thread(), self._plans(schedule) as (plans,):
                run_chunks(schedule.shares[0], plans, inputs, outputs)
        else:
            with self._members() as team, self._plans(schedule) as all_plans:
                if schedule.lanes > 1:
                    with_plan_settings(run_chunk)(all_plans[0][n], inputs, outputs, team)
                    return outputs
                shares = zip(schedule.shares, all_plans, strict=True)
                tasks = [partial(run_chunks, chunks, plans, inputs, outputs) for chunks, plans in shares]
                if team is not None:
                    team.run(tasks)
                else:
                    for task in tasks:
                        task()
        return outputs

    @with_plan_settings
    def listing(self, n: int) -> list[PlanStep]:
        """Return the steps for a batch of n samples (for one of its chunks, where it is cut), timed on random input."""
        schedule = self.schedule(n)
        chunk = max(part.stop - part.start for part in schedule.shares[0])
        rng = np.random.default_rng(0)
        shapes = {name: self.graph.by_name[name].shape for name in self.graph.inputs}
        with self._members() as team:
            with self._lock:
                plan = self.new_plan(chunk, schedule.lanes)
            plan.load({name: rng.standard_normal((chunk, *shape)).astype(self.dtype) for name, shape in shapes.items()})
            least = [math.inf] * len(plan.steps)
            for _ in range(5):
                for i, step in enumerate(plan.steps):
                    begin = perf_counter()
                    step.run(team)
                    least[i] = min(least[i], perf_counter() - begin)
        return [
            PlanStep(
                step.name, step.kinds, step.method, step.layout.value, step.shape,
                math.prod(step.shape) * self.dtype.itemsize, step.workspace, len(step.lanes),
                step.seconds, seconds, chunk,
            )
            for step, seconds in zip(plan.steps, least, strict=True)
        ]  # fmt: skip

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


@with_plan_settings
def run_chunks(chunks: list[slice], plans: Mapping[int, Plan], inputs: Mapping[str, Array], outputs: Arrays) -> None:
    """Run chunks of a batch, one after the other, by the plans of their sizes."""
    for chunk in chunks:
        x = {name: x[chunk] for name, x in inputs.items()}
        y = {name: y[chunk] for name, y in outputs.items()}
        run_chunk(plans[chunk.stop - chunk.start], x, y)


def run_chunk(plan: Plan, inputs: Mapping[str, Array], outputs: Arrays, team: Team | None = None) -> None:
    """Run a plan from inputs to outputs; a team's threads divide its longer steps."""
    plan.load(inputs)
    plan.run(team)
    plan.store(outputs)


def sizes_of(chunks: list[slice]) -> set[int]:
    """Return the different sizes of chunks."""
    return {chunk.stop - chunk.start for chunk in chunks}


def chunks_of(share: slice, most: int) -> list[slice]:
    """Return a range cut into pieces of at most `most` samples.

    Where that is possible, sizes are multiples of 16: runs of numbers begin at cache lines then, and fill registers.
    """
    unit = LINE if most >= LINE else 1
    size = share.stop - share.start
    units = math.ceil(size / unit)
    count = math.ceil(units / (most // unit))
    ends = [min(share.start + i * units // count * unit, share.stop) for i in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
