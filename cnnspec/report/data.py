"""All that a report is about, collected: the network, its weights, its values for an input, and a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cnnspec.arrays import Array
from cnnspec.data.named import read
from cnnspec.data.options import DataOptions
from cnnspec.errors import DataError, MemoryLimitError
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.load import Report
from cnnspec.report.activations import FeatureMaps, feature_maps
from cnnspec.report.assessment import Assessment, assess
from cnnspec.report.kernels import Kernels, first_kernels
from cnnspec.report.network import Network, network
from cnnspec.runtime.build import itemsize, prepare
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.training.histograms import histogram, read_histograms
from cnnspec.training.recorded import Recorded, read_records, read_run


@dataclass(frozen=True)
class TrainingRun:
    """A run: its records, what its result makes of the evaluation data, and histograms of its weights."""

    folder: str
    settings: Train
    backend: str
    records: Sequence[Mapping[str, Any]]
    histograms: Sequence[Mapping[str, Any]]
    """Those that were recorded by epoch; or one of the weights alone, without an epoch."""
    assessment: Assessment | None
    missing: str
    """Why there is no assessment, and what to do."""


@dataclass(frozen=True)
class ReportData:
    """Everything that a page shows."""

    network: Network
    weights: str
    """Where the weights come from."""
    trained: bool
    """Whether weights were given."""
    execution: str
    kernels: Kernels | None
    maps: FeatureMaps | None
    run: TrainingRun | None

    @property
    def spec(self) -> Spec:
        """The spec."""
        return self.network.spec


@dataclass(frozen=True)
class Wanted:
    """What a report is to show beside the network."""

    weights: str | Path | Mapping[str, Array] | None = None
    run: Path | None = None
    inputs: tuple[str, ...] = ()
    data: DataOptions = field(default_factory=DataOptions)
    """Of the evaluation data, in place of the run's own."""
    samples: int | None = None
    """The most samples of the evaluation data."""


def collect(spec: Spec, report: Report | None, wanted: Wanted, execution: Execution | None) -> ReportData:
    """Return the data of a report on a spec; weights and execution are those of the run where none are given."""
    found = network(spec, report)
    recorded = None if wanted.run is None else run_of(wanted.run, spec)
    if execution is None:
        execution = Execution() if recorded is None else recorded.execution
    weights, missing = wanted.weights, ""
    if weights is None and recorded is not None:
        try:
            weights = recorded.weights
        except DataError as error:  # no epoch is complete yet
            missing = str(error)
    origin = f"drawn at random from seed {execution.seed}, not trained"
    if weights is not None:
        origin = "given as arrays" if isinstance(weights, Mapping) else str(weights)
    kernels, maps, model = None, None, None
    if weights is not None or wanted.inputs:
        data = read(wanted.inputs, spec.inputs) if wanted.inputs else None
        check_memory(spec.graph, 1, itemsize(execution), execution.memory_limit)
        model = prepare(spec, execution, weights)
        kernels = first_kernels(spec.graph, model.state())
        maps = feature_maps(spec, model, data) if data else None
    run = None
    if recorded is not None:
        run = _training_run(recorded, model if weights is not None else None, execution, wanted, missing)
    return ReportData(found, origin, weights is not None, str(execution), kernels, maps, run)


def recorded_run(folder: Path) -> Recorded:
    """Return the run in a folder; raise DataError where it is none."""
    try:
        return read_run(folder)
    except OSError as error:
        why = f"{error.filename} cannot be read ({error.strerror})"
        raise DataError(f"{folder} is no folder of a run: {why}") from error


def run_of(folder: Path, spec: Spec) -> Recorded:
    """Return the run in a folder; raise DataError where it is none, or one of another network."""
    found = recorded_run(folder)
    if differs := _difference(found.spec.graph, spec.graph):
        raise DataError(f"the run in {folder} is of another network than `{spec.name}`: {differs}")
    return found


def _difference(trained: Graph, given: Graph) -> str:
    """Return how two networks differ in their layers, "" where they do not."""
    before, now = ([(node.name, node.kind, node.shape) for node in graph.nodes] for graph in (trained, given))
    for (name, kind, shape), (other_name, other_kind, other_shape) in zip(before, now, strict=False):
        if (name, kind, shape) != (other_name, other_kind, other_shape):
            sizes = ["×".join(map(str, size)) for size in (shape, other_shape)]
            return f"it has `{name}` ({kind}, {sizes[0]}) where the spec has `{other_name}` ({other_kind}, {sizes[1]})"
    return "" if len(before) == len(now) else f"it has {len(before)} layers, the spec {len(now)}"


def _training_run(
    recorded: Recorded, model: Model | None, execution: Execution, wanted: Wanted, missing: str
) -> TrainingRun:
    """Return what a run has recorded, and what its weights, if it has some, make of its evaluation data."""
    own = recorded.spec
    histograms: Sequence[Mapping[str, Any]] = read_histograms(recorded.folder)
    assessment = None
    if model is not None:
        if not histograms:
            histograms = [{"epoch": None, "weights": _of_weights(model)}]
        try:
            data = replace(recorded.data_with(wanted.data), download=False)
            assessment = assess(own, model, data, execution, samples=wanted.samples)
        except (DataError, MemoryLimitError) as error:
            missing = str(error)
    return TrainingRun(
        str(recorded.folder),
        own.train or Train(),
        str(recorded.execution),
        read_records(recorded.folder),
        histograms,
        assessment,
        missing,
    )


def _of_weights(model: Model) -> dict[str, Any]:
    """Return the histogram of every trained array as it is."""
    state = model.state()
    return {name: histogram(state[name]) for name, parameter in model.graph.parameters.items() if parameter.trainable}
