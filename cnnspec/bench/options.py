"""What is measured: the peers, the workloads, and how long; and what each worker process is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cnnspec.arrays import Arrays
from cnnspec.errors import CnnspecError
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import Train
from cnnspec.wording import nearest

TORCH_EAGER, TORCH_COMPILE, ONNXRUNTIME = AGAINST = ("torch-eager", "torch-compile", "onnxruntime")
"""The peers that are no backends: what `--against` takes."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Largest difference of two peers' outputs, relative to the largest number."""
REDUCED_TOLERANCE = 0.05
"""The same for data types of less precision."""

Mode = Literal["forward", "step"]


class BenchError(CnnspecError):
    """A benchmark that cannot be run."""


@dataclass(frozen=True)
class Workload:
    """One thing that is timed: inference or a training step on a batch."""

    mode: Mode
    batch: int

    def __str__(self) -> str:
        return f"{'forward' if self.mode == 'forward' else 'training step'}, batch {self.batch}"

    def flops(self, macs: int) -> int:
        """Return 2 for each multiply-accumulate; a step counts as three forward passes."""
        return 2 * macs * self.batch * (1 if self.mode == "forward" else 3)


@dataclass(frozen=True)
class Peer:
    """A backend with its options, or one of `AGAINST`; the label tells two peers of one kind apart."""

    label: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def against(cls, name: str) -> Peer:
        """Return the peer of that name; raise BenchError, with the nearest name, where there is none."""
        if name not in AGAINST:
            near = nearest(name, AGAINST)
            hint = f"; did you mean `{near}`?" if near else f": there are {', '.join(AGAINST)}"
            raise BenchError(f"there is no peer `{name}`{hint}")
        return cls(name, name)

    @property
    def is_backend(self) -> bool:
        """Whether it is an installed backend."""
        return self.kind not in AGAINST


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """How the peers are measured, the same for all."""

    batches: tuple[int, ...] = (1,)
    modes: tuple[Mode, ...] = ("forward",)
    threads: int = field(default_factory=usable_cpus)
    rounds: int = 5
    seconds: float = 0.5
    """The time of each peer in a round."""
    dtype: str = "float32"
    seed: int = 0
    """Of initial weights, inputs and targets."""
    memory_limit: int | None = None
    tolerance: float | None = None
    """Largest relative difference of outputs; None for that of the data type."""
    plans: bool = False
    """Whether the plans of the peers are listed, too."""

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Every workload: inference first, since a step changes the weights."""
        return tuple(Workload(mode, batch) for mode in self.modes for batch in self.batches)

    @property
    def largest_difference(self) -> float:
        """The tolerance that applies."""
        return TOLERANCE.get(self.dtype, REDUCED_TOLERANCE) if self.tolerance is None else self.tolerance

    @property
    def itemsize(self) -> int:
        """The bytes of a number at the edge of the peers."""
        return 8 if self.dtype == "float64" else 4


@dataclass(frozen=True)
class Network:
    """What every worker gets: the network, its weights, and the settings of training."""

    graph: Graph
    arrays: Arrays
    train: Train
    dtype: str
    seed: int
    threads: int
