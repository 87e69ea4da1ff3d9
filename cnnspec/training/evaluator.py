"""Evaluation of weights, or of the result of a run, on a part of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnspec.data import DataError, Dataset, Loader, Split, held_out
from cnnspec.data.options import DataOptions
from cnnspec.diagnostics import Source
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.load import load_spec
from cnnspec.runtime.build import Weights, itemsize, prepare
from cnnspec.runtime.memory import check_memory
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.training.recorded import is_run, read_run
from cnnspec.training.run import distributed, opened_data, path_of


def evaluate(
    spec: str | Path | Source | Spec,
    data: str | Dataset | None = None,
    *,
    weights: Weights = None,
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    batch: int = 256,
    split: str = "test",
    data_dir: str | Path | None = None,
    resize: bool = DataOptions.resize,
    download: bool = DataOptions.download,
    skip_broken: bool = DataOptions.skip_broken,
    workers: int = DataOptions.workers,
    params: Mapping[str, Any] | None = None,
    seed: int | None = None,
    memory_limit: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Spec, Dataset, Evaluation]:
    """Evaluate weights on a split, `test`, `validation` or `train`; return the spec, the dataset and the evaluation.

    `spec` may be the folder of a run: its spec, best weights, data and options are used where none are given.
    """
    named = DataOptions(None, path_of(data_dir), resize, download, skip_broken, workers)
    source = data if isinstance(data, Dataset) else replace(named, source=data)
    fields = {
        **{"backend": backend, "device": device, "dtype": dtype},
        **{"seed": seed, "memory_limit": memory_limit, "options": options},
    }
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if isinstance(spec, str | Path) and is_run(spec):
        return evaluate_run(Path(spec), given, source, weights=weights, batch=batch, split=split, workers=workers)
    loaded = load_spec(spec, params, resize)
    return evaluate_spec(loaded, Execution(**given), source, weights=weights, batch=batch, split=split, workers=workers)


def evaluate_run(
    folder: Path,
    given: Mapping[str, Any],
    data: Dataset | DataOptions,
    *,
    weights: Weights,
    batch: int,
    split: str,
    workers: int = DataOptions.workers,
) -> tuple[Spec, Dataset, Evaluation]:
    """Evaluate the result of a run, or other weights of its network; `given` are fields of its Execution to replace."""
    found = read_run(folder)
    spec = found.spec
    if isinstance(data, DataOptions):
        spec = spec.resizing() if data.resize else spec
        data = found.data_with(data)
    weights = found.weights if weights is None else weights
    execution = found.execution_with(given)
    return evaluate_spec(spec, execution, data, weights=weights, batch=batch, split=split, workers=workers)


def evaluate_spec(
    spec: Spec,
    execution: Execution,
    data: Dataset | DataOptions,
    *,
    weights: Weights,
    batch: int,
    split: str,
    workers: int = DataOptions.workers,
) -> tuple[Spec, Dataset, Evaluation]:
    """Evaluate as `evaluate` does, with the options in objects; `workers` are those of a dataset that is open."""
    dataset = opened_data(data, spec, "evaluate")
    chosen = part_of(dataset, spec, split)
    check_memory(spec.graph, batch, itemsize(execution), execution.memory_limit)
    workers = data.workers if isinstance(data, DataOptions) else workers
    with distributed(execution) as own, Loader(workers) as loader:
        model = prepare(spec, own, weights)
        return spec, dataset, evaluate_split(model, chosen, spec.losses, batch, loader=loader)


def part_of(dataset: Dataset, spec: Spec, name: str) -> Split:
    """Return a part of a dataset by name, as training with the spec's settings divides it."""
    settings = spec.train or Train()
    if name == "test":
        if dataset.test is None:
            other = ", or on what is held out of it (`validation`)" if settings.validation else ""
            raise DataError(
                f"{dataset.name} has no test data: evaluate on the training data instead (split `train`){other}"
            )
        return dataset.test
    rest, validation = held_out(dataset, settings.validation, settings.seed)
    if name == "train":
        return rest
    if validation is None:
        raise DataError(
            f"`{spec.name}` holds no validation data out of {dataset.name}: its `train:` has no `validation`"
        )
    return validation
