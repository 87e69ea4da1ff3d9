"""Runs: the training of a spec in a folder from which it can be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnspec.data import DataError, Dataset, Loader, open_dataset
from cnnspec.data.options import DataOptions
from cnnspec.diagnostics import Source
from cnnspec.graph.finetuning import frozen, norms_behind_frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.checks import LOSS_WARNINGS, activation_before_loss
from cnnspec.language.load import load_spec
from cnnspec.language.train import train_settings
from cnnspec.runtime import backend as backends
from cnnspec.runtime.build import Weights, itemsize, prepare, read
from cnnspec.runtime.memory import check_training_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.training.events import Callback
from cnnspec.training.histograms import expect_records
from cnnspec.training.logs import expect_known
from cnnspec.training.recorded import LAST, SETTINGS, expect_same_spec, read_run, write_run
from cnnspec.training.result import Result
from cnnspec.training.trainer import Trainer
from cnnspec.version import __version__
from cnnspec.weights import files as weight_files
from cnnspec.weights.start import started


@dataclass
class Run:
    """A training that is ready to start or to continue."""

    spec: Spec
    trainer: Trainer
    execution: Execution
    notes: tuple[str, ...] = ()
    """Remarks on the data and the settings, to be shown to the user."""


def settings_for(spec: Spec, given: Mapping[str, Any], learning_rate: float | None = None) -> Train:
    """Return the spec's training settings with the given ones in their place; raise SpecError where one is invalid."""
    settings = spec.train or Train()
    if given:
        changed = train_settings(given)
        replaced = {name: getattr(changed, name) for name in given}
        if "loss" in replaced:  # of every output, in place of those by name
            replaced.setdefault("losses", {})
        settings = settings.model_copy(update=replaced)
    if learning_rate is not None:
        if not learning_rate > 0:
            raise DataError(f"a learning rate is more than 0, not {learning_rate:g}")
        optimizer = settings.optimizer.model_copy(update={"learning_rate": learning_rate})
        settings = settings.model_copy(update={"optimizer": optimizer})
    return settings


@contextmanager
def start_run(
    spec: Spec,
    settings: Train,
    execution: Execution,
    data: Dataset | DataOptions,
    *,
    weights: Weights = None,
    folder: Path | None = None,
    keep: bool = True,
    workers: int = DataOptions.workers,
    logs: Sequence[str] = (),
    recordings: Sequence[str] = (),
) -> Iterator[Run]:
    """Yield a new run in a new folder (`runs/<name>` where none is named; none at all unless `keep`).

    It starts from the `weights`, or else from `start` of the settings, but for the layers of `replace`.
    The processes that a launcher started beside this one are joined, and left at the end. `workers` are those of a
    dataset that is open; options have their own.
    """
    expect_known(logs)
    expect_records(recordings)
    execution = replace(execution, seed=settings.seed)
    if weights is not None:
        settings = settings.model_copy(update={"start": None if isinstance(weights, Mapping) else str(weights)})
    graph = frozen(spec.graph, settings)
    spec, notes = _with_settings(spec, settings)
    dataset = opened_data(data, spec, "train")
    check_training_memory(graph, settings, itemsize(execution), execution.memory_limit, execution.recompute)
    options = data if isinstance(data, DataOptions) else DataOptions(workers=workers)
    with distributed(execution) as own, Loader(options.workers) as loader:
        begun, remarks = _begun(graph, settings, weights)
        model = prepare(spec, own, begun)
        metadata = {
            **{"cnnspec": __version__, "spec": spec.name, "seed": str(settings.seed)},
            **{"backend": execution.backend, "dtype": execution.dtype},
        }
        trainer = Trainer(
            model,
            dataset,
            settings,
            _only_input(spec),
            None,
            loader,
            spec.name,
            logs=logs,
            recordings=recordings,
            metadata=metadata,
        )
        if keep:
            trainer.folder = model.gather(new_folder(folder, spec.name) if model.process == 0 else None)[0]
        if trainer.folder is not None and model.process == 0:
            trainer.metadata["spec_text"] = write_run(trainer.folder, spec, execution, options, logs, recordings)
        yield Run(spec, trainer, execution, (*dataset.notes, *notes, *remarks))


def _begun(graph: Graph, settings: Train, weights: Weights) -> tuple[Weights, list[str]]:
    """Return the weights that a run starts from, None for those of the seed, and notes on what is taken over."""
    notes = [
        f"{name} is not frozen, and the layer before it is: training changes its weights and statistics"
        for name in norms_behind_frozen(graph)
    ]
    given = settings.start if weights is None else weights
    if given is None:
        if settings.replace:
            raise DataError("`replace` begins layers anew beside those of `start`: name the file to start from")
        return None, notes
    arrays, origin = read(given)
    start = started(graph, arrays, settings.replace, settings.seed, origin)
    note = f"starts from {origin}"
    if start.replaced:
        note += f"; {', '.join(start.replaced)} anew"
    if unused := [name for name in start.ignored if name not in graph.parameters]:
        note += f"; without its {', '.join(unused)}"
    return start.arrays, [*notes, note]


def _with_settings(spec: Spec, settings: Train) -> tuple[Spec, list[str]]:
    """Return the spec with other training settings, and notes on its losses where the checker has not seen these."""
    changed = replace(spec, train=settings)
    if spec.train is not None and spec.losses == changed.losses:
        return changed, []
    warnings = tuple(found for found in spec.warnings if found.code not in LOSS_WARNINGS)
    nodes = spec.graph.output_nodes
    notes = [activation_before_loss(loss, nodes[name]) for name, loss in changed.losses.items()]
    return replace(changed, warnings=warnings), [note for note in notes if note]


@contextmanager
def resume_run(
    folder: Path,
    data: DataOptions,
    *,
    epochs: int | None = None,
    logs: Sequence[str] = (),
    recordings: Sequence[str] = (),
) -> Iterator[Run]:
    """Yield a run as it was when its last checkpoint was written; `epochs` lets it continue for longer."""
    if not (folder / LAST).exists() or not (folder / SETTINGS).exists():
        raise DataError(f"{folder} is no run that can be resumed: it has no {SETTINGS} or no {LAST}")
    expect_records(recordings)
    found = read_run(folder)
    spec, execution = found.spec, found.execution
    settings = spec.train or Train()
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    data = found.data_with(data)
    dataset = opened_data(data, spec, "train")
    with distributed(execution) as own, Loader(data.workers) as loader:
        model = prepare(spec, own)
        metadata = {key: value for key, value in weight_files.metadata(folder / LAST).items() if key != "progress"}
        expect_same_spec(folder, metadata)
        trainer = Trainer(
            model,
            dataset,
            settings,
            _only_input(spec),
            folder,
            loader,
            spec.name,
            logs=logs or found.logs,
            recordings=recordings or found.recordings,
            metadata=metadata,
        )
        trainer.resume()
        yield Run(spec, trainer, execution, dataset.notes)


@contextmanager
def distributed(execution: Execution) -> Iterator[Execution]:
    """Join the processes of a launcher, if there is one; yields the execution on this process's own device."""
    with backends.find(execution.backend).distributed(execution.device) as device:
        yield replace(execution, device=device)


def _only_input(spec: Spec) -> Input | None:
    return spec.input if len(spec.inputs) == 1 else None


def opened_data(data: Dataset | DataOptions, spec: Spec, what: str) -> Dataset:
    """Return the dataset, opened where it is not yet: the one that is named, or that of the spec's `train:`."""
    if isinstance(data, Dataset):
        return data
    source = data.source or (spec.train or Train()).data
    if source is None:
        raise DataError(f"there is nothing to {what} on: give --data, or `data` in the spec's `train:`")
    return open_dataset(source, spec, data_dir=data.folder, download=data.download, skip_broken=data.skip_broken)


def new_folder(folder: Path | None, name: str) -> Path:
    """Return the folder that was named, which must be new or empty, or the first free one below `runs`."""
    if folder is None:
        safe = "".join(ch if ch.isalnum() or ch in "-_." else "-" for ch in name) or "network"
        number = 1
        while (Path("runs") / f"{safe}-{number}").exists():
            number += 1
        folder = Path("runs") / f"{safe}-{number}"
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty: name another folder, or continue that run with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def train(
    spec: str | Path | Source | Spec,
    data: str | Dataset | None = None,
    *,
    backend: str = Execution.backend,
    device: str = Execution.device,
    dtype: str = Execution.dtype,
    weights: Weights = None,
    folder: str | Path | None = None,
    data_dir: str | Path | None = None,
    resize: bool = DataOptions.resize,
    download: bool = DataOptions.download,
    skip_broken: bool = DataOptions.skip_broken,
    workers: int = DataOptions.workers,
    params: Mapping[str, Any] | None = None,
    memory_limit: int | None = Execution.memory_limit,
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
    callbacks: Iterable[Callback] = (),
    logs: Sequence[str] = (),
    recordings: Sequence[str] = (),
    **settings: Any,
) -> tuple[Model, Result]:
    """Train a spec, and return the model and the result of the training.

    `data` is what `--data` takes, or a Dataset; `settings` are those of `train:` (epochs, batch, optimizer, …) in
    place of the spec's. With a `folder` it writes metrics, `logs` (`csv`, `tensorboard`), `recordings` (`histograms` of
    weights and gradients by epoch) and checkpoints there. Each callback is called with the events of
    `cnnspec.training.events`, as they happen.
    """
    loaded = load_spec(spec, params, resize)
    given = settings | ({"data": data} if isinstance(data, str) else {})
    execution = Execution(backend, device, dtype, memory_limit=memory_limit, options=options or {})
    opened = start_run(
        loaded,
        settings_for(loaded, given, learning_rate),
        execution,
        data
        if isinstance(data, Dataset)
        else DataOptions(data, path_of(data_dir), resize, download, skip_broken, workers),
        weights=weights,
        folder=path_of(folder),
        keep=folder is not None,
        workers=workers,
        logs=logs,
        recordings=recordings,
    )
    with opened as run:
        run.trainer.callbacks += callbacks
        return run.trainer.model, run.trainer.run()


def path_of(path: str | Path | None) -> Path | None:
    """Return a path as an object, None where there is none."""
    return None if path is None else Path(path)
