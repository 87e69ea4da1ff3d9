"""Run a benchmark: start the peers, compare their outputs, and measure them in interleaved rounds."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cnnspec.arrays import Array
from cnnspec.bench.options import BenchError, Network, Options, Peer, Workload
from cnnspec.bench.processes import PeerFailed, PeerLeftOut, Worker
from cnnspec.bench.results import BenchResult, LeftOut, Measurement, PlanResult, WorkloadResult
from cnnspec.bench.runners import MATRIX_PRODUCT, MatrixProduct
from cnnspec.bench.text import left_out_lines
from cnnspec.graph.costs import macs
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import MeanSquaredError, Train
from cnnspec.machine import describe_machine
from cnnspec.runtime.build import Weights, weights_of
from cnnspec.runtime.memory import check_memory, check_training_memory
from cnnspec.testing.verification import difference

Progress = Callable[[str], None]

AFTER_A_STEP = 100
"""How much more the losses may differ after a step than before: rounding has passed through gradients and update."""


def bench(
    spec: Spec,
    peers: Sequence[Peer],
    options: Options,
    weights: Weights = None,
    progress: Progress = lambda text: None,
) -> BenchResult:
    """Measure the peers on a spec; ratios refer to the first peer that is no backend, or else to the first.

    Raise MemoryLimitError before anything is allocated, and BenchError where no peer can be measured.
    """
    network = _network(spec, options, weights)
    result = BenchResult(
        spec.name, options, describe_machine(), datetime.now().astimezone().isoformat(timespec="seconds")
    )
    with TemporaryDirectory(prefix="cnnspec-bench-") as folder, ExitStack() as stack:
        file = Path(folder) / "network.pickle"
        file.write_bytes(pickle.dumps(network))
        run = _Run(result, options, progress)
        for peer in peers:
            progress(f"preparing {peer.label}")
            worker = Worker(peer, file, options.threads)
            stack.callback(worker.close)
            run.prepare(worker)
        if not any(run.ready.values()):
            reasons = left_out_lines([*result.left_out, *result.failures])
            raise BenchError(f"there is nothing to measure: {'; '.join(reasons)}")
        yardstick = stack.enter_context(Worker(MATRIX_PRODUCT, file, options.threads))
        yardstick.ask("start", MATRIX_PRODUCT)
        count = macs(spec.graph.nodes)
        for workload in options.workloads:
            if run.ready[workload]:
                run.measure(workload, workload.flops(count), yardstick)
        if options.plans:
            run.list_plans()
    return result


def _network(spec: Spec, options: Options, weights: Weights) -> Network:
    graph = spec.graph
    if not graph.has_one_of_each:
        counts = f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise BenchError(f"bench measures networks with one input and one output, and `{spec.name}` has {counts}")
    train = (spec.train or Train()).model_copy(update={"freeze": (), "rates": {}})  # peers train all layers alike
    if spec.train is None and (len(graph.output.shape) != 1 or graph.output.shape[0] < 2):
        train = Train(loss=MeanSquaredError())
    largest = max(options.batches)
    check_memory(graph, largest, options.itemsize, options.memory_limit)
    if "step" in options.modes:
        step = train.model_copy(update={"batch": largest, "accumulate": 1})
        check_training_memory(graph, step, options.itemsize, options.memory_limit)
    dtype = np.float64 if options.dtype == "float64" else np.float32
    arrays = {name: array.astype(dtype) for name, array in weights_of(graph, weights, options.seed).items()}
    return Network(graph, arrays, train, options.dtype, options.seed, options.threads)


@dataclass
class _Run:
    """The workers that are ready, and the values that they are compared by."""

    result: BenchResult
    options: Options
    progress: Progress
    ready: dict[Workload, list[Worker]] = field(default_factory=dict)
    expected: dict[Workload, tuple[str, Array]] = field(default_factory=dict)
    """The first peer's values, by which every other is judged."""

    def __post_init__(self) -> None:
        self.ready = {workload: [] for workload in self.options.workloads}

    def prepare(self, worker: Worker) -> None:
        """Start a peer, and compare its values with those of the first one."""
        label = worker.peer.label
        try:
            self.result.versions[label] = worker.ask("start", worker.peer)
        except (PeerLeftOut, PeerFailed) as error:
            self._leave_out(worker, None, error)
            return
        for workload in self.options.workloads:
            try:
                values = worker.ask("prepare", workload)
                self._compare(label, workload, values)
            except (PeerLeftOut, PeerFailed) as error:
                self._leave_out(worker, workload, error)
                if worker.process.poll() is not None:
                    return
            else:
                self.ready[workload].append(worker)

    def _compare(self, label: str, workload: Workload, values: Array) -> None:
        if not np.isfinite(values).all():
            raise PeerFailed(f"its {_what(workload)} is not finite")
        other, expected = self.expected.setdefault(workload, (label, values))
        tolerance = self.options.largest_difference
        if workload.mode == "step":
            pairs = [(expected[:1], values[:1], tolerance), (expected[1:], values[1:], tolerance * AFTER_A_STEP)]
        else:
            pairs = [(expected, values, tolerance)]
        for a, b, allowed in pairs:
            found = difference(a, b)
            if not found <= allowed:
                raise PeerFailed(
                    f"its {_what(workload)} differs from that of {other} by {found:.1e} of the largest number, "
                    f"and the tolerance is {allowed:g}"
                )

    def measure(self, workload: Workload, flops: int, yardstick: Worker) -> None:
        """Measure the peers in rounds; the order rotates, so that none is always the first."""
        found = WorkloadResult(workload, flops)
        self.result.workloads.append(found)
        self.progress(f"{workload}: the machine's peak")
        yardstick.ask("prepare", workload)
        found.peak = 2 * MatrixProduct.size**3 / yardstick.ask("measure", workload, self.options.seconds).best
        workers = list(self.ready[workload])
        measurements = {worker.peer.label: Measurement(worker.peer.label) for worker in workers}
        for i in range(self.options.rounds):
            for worker in [*workers[i % len(workers) :], *workers[: i % len(workers)]]:
                label = worker.peer.label
                if label not in measurements:
                    continue
                self.progress(f"{workload}: round {i + 1} of {self.options.rounds}, {label}")
                try:
                    measurements[label].rounds.append(worker.ask("measure", workload, self.options.seconds))
                except (PeerLeftOut, PeerFailed) as error:
                    self._leave_out(worker, workload, error)
                    del measurements[label]
        found.measurements = list(measurements.values())
        against = [worker.peer.label for worker in workers if not worker.peer.is_backend]
        references = [measurements[label] for label in against if label in measurements] or found.measurements
        found.reference = references[0] if references else None

    def list_plans(self) -> None:
        """List the plan of each peer for each batch of inference."""
        for workload in self.options.workloads:
            if workload.mode != "forward":
                continue
            for worker in list(self.ready[workload]):
                label = worker.peer.label
                self.progress(f"{workload}: the plan of {label}")
                try:
                    steps = worker.ask("plan", workload.batch)
                except PeerLeftOut as error:
                    self.result.without_plan.append(LeftOut(label, workload, str(error)))
                except PeerFailed as error:
                    self._leave_out(worker, workload, error)
                else:
                    self.result.plans.append(PlanResult(label, workload.batch, steps))

    def _leave_out(self, worker: Worker, workload: Workload | None, error: Exception) -> None:
        entries = self.result.failures if isinstance(error, PeerFailed) else self.result.left_out
        died = worker.process.poll() is not None
        entries.append(LeftOut(worker.peer.label, None if died else workload, str(error)))
        if died:
            for workers in self.ready.values():
                if worker in workers:
                    workers.remove(worker)


def _what(workload: Workload) -> str:
    return "output" if workload.mode == "forward" else "loss in training"
