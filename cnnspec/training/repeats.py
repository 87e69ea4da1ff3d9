"""Several runs of one training that differ by their seed, and the mean and the deviation of their metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cnnspec.errors import DataError
from cnnspec.training.logs import numbers
from cnnspec.training.recorded import LAST
from cnnspec.training.result import Result
from cnnspec.training.run import Run

_NO_METRICS = ("epoch", "step", "learning_rate", "seconds", "samples_per_second", "data_wait")

Open = Callable[[int, Path], AbstractContextManager[Run]]
"""(seed, folder) -> the run."""


@dataclass(frozen=True)
class Spread:
    """A metric over several runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the runs."""
        return mean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation, with n − 1 in the denominator; 0 for one run."""
        return stdev(self.values) if len(self.values) > 1 else 0.0


def repeated(folder: Path, first: int, count: int, start: Open, resume: Open) -> Iterator[AbstractContextManager[Run]]:
    """Yield the runs with the seeds `first` … in folders `seed-N`; those that are there are continued where they ended.

    Raises DataError where the folder holds anything else.
    """
    seeds = range(first, first + count)
    if folder.exists() and (other := [path.name for path in folder.iterdir() if not path.name.startswith("seed-")]):
        raise DataError(f"{folder} holds {other[0]}, and is no folder of several runs: name another")
    for seed in seeds:
        own = folder / f"seed-{seed}"
        yield (resume if (own / LAST).exists() else start)(seed, own)


def metrics_of(result: Result) -> dict[str, float]:
    """Return the metrics of a run: those on the test data, or else those of the record of its best epoch."""
    if result.test is not None:
        found: Mapping[str, Any] = {f"test_{name}": value for name, value in result.test.metrics.items()}
        found = {"test_loss": result.test.loss, **found}
        found |= {
            f"{output}.test_{name}": value
            for output, one in result.test.outputs.items()
            for name, value in one.metrics.items()
        }
    else:
        found = dict(numbers(result.epochs[max(result.best_epoch, 1) - 1]))
    return {name: value for name, value in found.items() if value is not None and name not in _NO_METRICS}


def spread(results: Sequence[Result]) -> dict[str, Spread]:
    """Return each metric that all runs have, over the runs."""
    found = [metrics_of(result) for result in results]
    return {name: Spread(tuple(one[name] for one in found)) for name in found[0] if all(name in one for one in found)}
