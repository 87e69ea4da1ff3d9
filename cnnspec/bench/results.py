"""The figures of a benchmark."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnnspec.bench.options import Options, Workload
from cnnspec.runtime.plan import PlanStep
from cnnspec.view.plan import plan_to_dict


class Round(NamedTuple):
    """The calls of one peer in one round, in seconds."""

    median: float
    best: float
    calls: int


@dataclass
class Measurement:
    """One peer on one workload."""

    peer: str
    rounds: list[Round] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds' medians, in seconds."""
        return statistics.median(r.median for r in self.rounds)

    @property
    def best(self) -> float:
        """The fastest call of all, in seconds."""
        return min(r.best for r in self.rounds)

    def ratio(self, reference: Measurement) -> float:
        """Return the median over the rounds of this time by the reference's; below 1 is faster."""
        pairs = zip(self.rounds, reference.rounds, strict=True)
        return statistics.median(own.median / other.median for own, other in pairs)

    def best_ratio(self, reference: Measurement) -> float:
        """Return the best time by the reference's."""
        return self.best / reference.best


@dataclass
class LeftOut:
    """A peer that was not measured, on one workload or (None) on all, and why."""

    peer: str
    workload: Workload | None
    reason: str

    def __str__(self) -> str:
        return f"{self.peer}{f' ({self.workload})' if self.workload else ''}: {self.reason}"


@dataclass
class PlanResult:
    """The steps by which a peer computes a batch."""

    peer: str
    batch: int
    steps: list[PlanStep]


@dataclass
class WorkloadResult:
    """The peers on one workload, beside what the machine reaches in a product of matrices."""

    workload: Workload
    flops: int
    """Of one call."""
    peak: float = 0.0
    """FLOP/s of a product of matrices on as many threads, measured right before."""
    measurements: list[Measurement] = field(default_factory=list)
    reference: Measurement | None = None
    """The peer whose times the ratios refer to."""


@dataclass
class BenchResult:
    """Everything that a benchmark found."""

    spec: str
    options: Options
    machine: dict[str, str]
    date: str
    versions: dict[str, str] = field(default_factory=dict)
    """The library of each peer, with its version."""
    workloads: list[WorkloadResult] = field(default_factory=list)
    plans: list[PlanResult] = field(default_factory=list)
    without_plan: list[LeftOut] = field(default_factory=list)
    """Peers whose plan was asked for, and that have none."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Peers that are not installed, or cannot do the network."""
    failures: list[LeftOut] = field(default_factory=list)
    """Peers that crashed, or whose outputs differ."""

    @property
    def peak(self) -> float:
        """The most FLOP/s of a product of matrices in this run."""
        return max((found.peak for found in self.workloads), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        options = self.options
        return {
            "spec": self.spec,
            "date": self.date,
            "machine": self.machine,
            "threads": options.threads,
            "dtype": options.dtype,
            "rounds": options.rounds,
            "seconds": options.seconds,
            "seed": options.seed,
            "peak_gflops": self.peak / 1e9,
            "versions": self.versions,
            "workloads": [self._workload(found) for found in self.workloads],
            "plans": [{"peer": plan.peer} | plan_to_dict(plan.steps, plan.batch) for plan in self.plans],
            "without_plan": [_left_out(entry) for entry in self.without_plan],
            "left_out": [_left_out(entry) for entry in self.left_out],
            "failures": [_left_out(entry) for entry in self.failures],
        }

    def _workload(self, found: WorkloadResult) -> dict[str, Any]:
        reference = found.reference
        return {
            "mode": found.workload.mode,
            "batch": found.workload.batch,
            "gflop": found.flops / 1e9,
            "reference": reference.peer if reference else None,
            "peers": [
                {
                    "peer": m.peer,
                    "median_seconds": m.median,
                    "best_seconds": m.best,
                    "samples_per_second": found.workload.batch / m.median,
                    "gflops": found.flops / m.median / 1e9,
                    "share_of_peak": found.flops / m.median / self.peak if self.peak else None,
                    "ratio": m.ratio(reference) if reference else None,
                    "best_ratio": m.best_ratio(reference) if reference else None,
                    "rounds": [{"median": r.median, "best": r.best, "calls": r.calls} for r in m.rounds],
                }
                for m in found.measurements
            ],
        }


def _left_out(entry: LeftOut) -> dict[str, Any]:
    workload = entry.workload
    return {
        "peer": entry.peer,
        "mode": workload.mode if workload else None,
        "batch": workload.batch if workload else None,
        "reason": entry.reason,
    }
