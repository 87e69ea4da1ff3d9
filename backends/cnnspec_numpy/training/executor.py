"""Training steps by plans: a batch in shards, one for each thread, whose gradients are added up."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from cnnspec_numpy.options import Options
from cnnspec_numpy.plan.executor import chunks_of
from cnnspec_numpy.settings import with_plan_settings
from cnnspec_numpy.threads import Barrier, Team, default_threads, one_blas_thread
from cnnspec_numpy.training.layers import Dropout
from cnnspec_numpy.training.operation import Moment
from cnnspec_numpy.training.plan import TrainingPlan, divides
from cnnspec_numpy.training.table import class_of

from cnnspec.arrays import Array, Arrays
from cnnspec.graph.graph import Graph
from cnnspec.rng import draw_dropout_mask
from cnnspec.runtime.step import Part, Term

CHUNK_BYTES = 7 << 19
"""What the values of a chunk may take, where a shard is cut into chunks."""
LEAST = 8
"""A shard has no fewer samples."""


class Exchange:
    """Sums over the shards of a batch, which advance side by side. Plans hold it, and it holds no plan."""

    def __init__(self) -> None:
        self.barrier = Barrier(1)
        self._sums: dict[str, list[Array]] = {}

    def sync(self, shard: int, shards: int, name: str, array: Array) -> Callable[[], None]:
        """Return the call that replaces an array by its sum over the shards, which all reach it."""
        if shards == 1:
            return _nothing
        slots = self._sums.setdefault(f"{name} {shards}", [np.zeros_like(array) for _ in range(shards)])
        first, second, *rest = slots

        def call() -> None:
            np.copyto(slots[shard], array)
            self.barrier.wait(shard)
            np.add(first, second, out=array)
            for other in rest:
                np.add(array, other, out=array)

        return call


class TrainingExecutor:
    """The plans of training by batch size, made when they are first needed and kept.

    Where a layer normalises over the batch, the shards advance together and exchange sums; elsewhere each is cut into
    chunks whose values stay in the cache. The result depends on the number of threads, in its rounding alone.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Array], dtype: npt.DTypeLike, options: Options) -> None:
        self.graph = graph
        self.weights = weights
        self.dtype = np.dtype(dtype)
        self.threads = options.threads or default_threads()
        self.divides = divides(graph)
        # Also where all such layers are frozen: long rows are faster than chunks in the cache then.
        self.exchanges = any(node.layer.needs_batch_statistics for node in graph.nodes)
        self.dropouts = [node for node in graph.nodes if class_of(node) is Dropout]
        self._plans: dict[tuple[Any, ...], TrainingPlan] = {}
        self._totals: list[Array] = []
        self._kept = {node.name: np.empty((0, *node.shape), np.bool_) for node in self.dropouts}
        self._numbers = np.empty(0, np.float32)
        self._exchange = Exchange()
        self._team: Team | None = None

    def shards(self, n: int) -> list[list[slice]]:
        """Return the chunks of each shard of a batch of n samples."""
        count = max(1, min(self.threads, n // LEAST)) if self.divides else 1
        shards = [slice(i * n // count, (i + 1) * n // count) for i in range(count)]
        if self.exchanges or not self.divides:
            return [[shard] for shard in shards]
        most = max(LEAST, CHUNK_BYTES // self._sample_bytes)
        return [chunks_of(shard, most) for shard in shards]

    @property
    def _sample_bytes(self) -> int:
        sizes = (int(np.prod(node.shape)) for node in self.graph.nodes if not node.layer.aliases_input)
        return max(1, 2 * self.dtype.itemsize * sum(sizes))

    def gradients(self, part: Part, masks: Mapping[str, Array], moment: Moment) -> tuple[float, Arrays, Array, Arrays]:
        """Return a part's loss, the outputs that have a loss, the gradients as one vector, and the next state.

        The vector has the trainable arrays in the order of the graph; it is valid until the next call. The masks are
        those of the part's samples.
        """
        n, terms = part.n, part.terms
        outputs = {name: np.empty((n, *self.graph.by_name[name].shape), self.dtype) for name in terms}
        shards = self.shards(n)
        plans = [self._plan(terms, i, len(shards), chunks, n) for i, chunks in enumerate(shards)]
        values = [0.0] * len(shards)

        @with_plan_settings
        def run(i: int) -> None:
            first: TrainingPlan | None = None
            try:
                for chunk, plan in zip(shards[i], plans[i], strict=True):
                    plan.moment.set(moment, moment.first + chunk.start)
                    plan.load(
                        {name: x[chunk] for name, x in part.inputs.items()},
                        {name: (term.target[chunk], term.factor) for name, term in terms.items()},
                        {name: mask[chunk] for name, mask in masks.items()},
                    )
                    plan.run()
                    plan.store({name: y[chunk] for name, y in outputs.items()})
                    values[i] += float(plan.values.sum())
                    total = self._totals[i]
                    if first is None:
                        np.copyto(total, plan.flat)
                    else:
                        np.add(total, plan.flat, out=total)
                    first = plan
            except BaseException:
                self._exchange.barrier.abort()  # the other shards would wait for this one for ever
                raise

        with one_blas_thread():
            if len(shards) == 1:
                run(0)
            else:
                self._exchange.barrier = Barrier(len(shards))
                self._members().run([partial(run, i) for i in range(len(shards))], self._exchange.barrier.abort)
        total = self._totals[0]
        for other in self._totals[1 : len(shards)]:
            np.add(total, other, out=total)
        return sum(values), outputs, total, plans[0][0].state

    def _plan(
        self, terms: Mapping[str, Term], shard: int, shards: int, chunks: list[slice], batch: int
    ) -> list[TrainingPlan]:
        """Return a plan for each chunk of a shard; chunks of one size share one."""
        found: dict[int, TrainingPlan] = {}
        losses = {name: term.loss for name, term in terms.items()}
        soft = frozenset(name for name, term in terms.items() if term.soft)
        for chunk in chunks:
            n = chunk.stop - chunk.start
            key = (*losses.items(), soft, shard, shards, n, batch)
            if n not in found:
                if key not in self._plans:
                    sync = partial(self._exchange.sync, shard, shards)
                    arguments = (self.graph, self.weights, losses, soft, n, batch, self.dtype, sync)
                    self._plans[key] = TrainingPlan(*arguments)
                found[n] = self._plans[key]
        while len(self._totals) < shards:
            self._totals.append(np.zeros_like(next(iter(found.values())).flat))
        return [found[chunk.stop - chunk.start] for chunk in chunks]

    def masks(self, n: int, seed: int, step: int) -> dict[str, npt.NDArray[np.bool_]]:
        """Draw which elements each dropout layer keeps, for the n samples of a step."""
        if any(len(mask) < n for mask in self._kept.values()):
            self._numbers = np.empty(n * max(math.prod(node.shape) for node in self.dropouts), np.float32)
            self._kept = {node.name: np.empty((n, *node.shape), np.bool_) for node in self.dropouts}
        found = {name: mask[:n] for name, mask in self._kept.items()}
        for node in self.dropouts:
            mask, rate = found[node.name], node.layer.rate  # type: ignore[attr-defined]
            draw_dropout_mask(seed, step, node.name, rate, self._numbers[: mask.size].reshape(mask.shape), mask)
        return found

    def _members(self) -> Team:
        if self._team is None or not self._team.is_alive:
            self._team = Team(self.threads)
            weakref.finalize(self, self._team.close)
        return self._team


def _nothing() -> None:
    """Do nothing: one shard has the sum already."""
