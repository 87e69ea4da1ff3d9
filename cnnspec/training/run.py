"""Runs: the training of a spec in a folder from which it can be resumed, and the evaluation of weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cnnspec import atomic
from cnnspec.data import DataError, Dataset, open_dataset
from cnnspec.data.options import DataOptions
from cnnspec.diagnostics import Source
from cnnspec.graph.finetuning import frozen, norms_behind_frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.settings import Input
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.checks import LOSS_WARNINGS, activation_before_loss
from cnnspec.language.load import load, load_spec
from cnnspec.language.render import render
from cnnspec.language.train import train_settings
from cnnspec.runtime import backend as backends
from cnnspec.runtime.build import Weights, itemsize, prepare, read
from cnnspec.runtime.memory import check_memory, check_training_memory
from cnnspec.runtime.model import Model
from cnnspec.runtime.options import Execution
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.training.trainer import LAST, Result, Trainer
from cnnspec.version import __version__
from cnnspec.weights import files as weight_files
from cnnspec.weights.start import started

SPEC, SETTINGS = "spec.yaml", "run.json"


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
) -> Iterator[Run]:
    """Yield a new run in a new folder (`runs/<name>` where none is named; none at all unless `keep`).

    It starts from the `weights`, or else from `start` of the settings, but for the layers of `replace`.
    The processes that a launcher started beside this one are joined, and left at the end.
    """
    execution = replace(execution, seed=settings.seed)
    if weights is not None:
        settings = settings.model_copy(update={"start": None if isinstance(weights, Mapping) else str(weights)})
    graph = frozen(spec.graph, settings)
    spec, notes = _with_settings(spec, settings)
    dataset = _opened(data, spec, "train")
    check_training_memory(
        graph, settings.batch, max(4, itemsize(execution)), settings.optimizer, execution.memory_limit
    )
    with _distributed(execution) as own:
        begun, remarks = _begun(graph, settings, weights)
        model = prepare(spec, own, begun)
        metadata = {
            **{"cnnspec": __version__, "spec": spec.name, "seed": str(settings.seed)},
            **{"backend": execution.backend, "dtype": execution.dtype},
        }
        trainer = Trainer(model, dataset, settings, _only_input(spec), metadata=metadata)
        if keep:
            trainer.folder = model.gather(_new_folder(folder, spec.name) if model.process == 0 else None)[0]
        if trainer.folder is not None and model.process == 0:
            source = data.folder if isinstance(data, DataOptions) else None
            record = asdict(execution) | {"data_dir": str(source) if source else None}
            atomic.write(trainer.folder / SPEC, render(spec).encode())
            atomic.write(trainer.folder / SETTINGS, (json.dumps(record, indent=2) + "\n").encode())
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
def resume_run(folder: Path, data: DataOptions, *, epochs: int | None = None) -> Iterator[Run]:
    """Yield a run as it was when its last checkpoint was written; `epochs` lets it continue for longer."""
    if not (folder / LAST).exists() or not (folder / SETTINGS).exists():
        raise DataError(f"{folder} is no run that can be resumed: it has no {SETTINGS} or no {LAST}")
    try:
        record = json.loads((folder / SETTINGS).read_text("utf-8"))
        source = record.pop("data_dir")
        execution = Execution(**record)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(f"{folder / SETTINGS} is not what a run writes there: {error}") from error
    spec = load(folder / SPEC)
    settings = spec.train or Train()
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    dataset = _opened(replace(data, folder=data.folder or (Path(source) if source else None)), spec, "train")
    with _distributed(execution) as own:
        model = prepare(spec, own)
        metadata = {key: value for key, value in weight_files.metadata(folder / LAST).items() if key != "progress"}
        trainer = Trainer(model, dataset, settings, _only_input(spec), folder, metadata=metadata)
        trainer.resume()
        yield Run(spec, trainer, execution, dataset.notes)


@contextmanager
def _distributed(execution: Execution) -> Iterator[Execution]:
    """Join the processes of a launcher, if there is one; yields the execution on this process's own device."""
    with backends.find(execution.backend).distributed(execution.device) as device:
        yield replace(execution, device=device)


def _only_input(spec: Spec) -> Input | None:
    return spec.input if len(spec.inputs) == 1 else None


def _opened(data: Dataset | DataOptions, spec: Spec, what: str) -> Dataset:
    """Return the dataset, opened where it is not yet: the one that is named, or that of the spec's `train:`."""
    if isinstance(data, Dataset):
        return data
    source = data.source or (spec.train or Train()).data
    if source is None:
        raise DataError(f"there is nothing to {what} on: give --data, or `data` in the spec's `train:`")
    return open_dataset(source, spec, data_dir=data.folder, download=data.download)


def _new_folder(folder: Path | None, name: str) -> Path:
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
    params: Mapping[str, Any] | None = None,
    memory_limit: int | None = Execution.memory_limit,
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[Model, Result]:
    """Train a spec, and return the model and the result of the training.

    `data` is what `--data` takes, or a Dataset; `settings` are those of `train:` (epochs, batch, optimizer, …) in
    place of the spec's. With a `folder` it writes metrics and checkpoints there.
    """
    loaded = load_spec(spec, params, resize)
    given = settings | ({"data": data} if isinstance(data, str) else {})
    execution = Execution(backend, device, dtype, memory_limit=memory_limit, options=options or {})
    opened = start_run(
        loaded,
        settings_for(loaded, given, learning_rate),
        execution,
        data if isinstance(data, Dataset) else DataOptions(data, _path(data_dir), resize, download),
        weights=weights,
        folder=_path(folder),
        keep=folder is not None,
    )
    with opened as run:
        return run.trainer.model, run.trainer.run()


def evaluate(
    spec: str | Path | Source | Spec,
    data: str | Dataset | None = None,
    *,
    weights: Weights = None,
    backend: str = Execution.backend,
    device: str = Execution.device,
    dtype: str = Execution.dtype,
    batch: int = 256,
    split: str = "test",
    data_dir: str | Path | None = None,
    resize: bool = DataOptions.resize,
    download: bool = DataOptions.download,
    params: Mapping[str, Any] | None = None,
    seed: int = Execution.seed,
    memory_limit: int | None = Execution.memory_limit,
    options: Mapping[str, Any] | None = None,
) -> tuple[Spec, Dataset, Evaluation]:
    """Evaluate weights on the test (or the training) data; return the spec, the dataset and the evaluation."""
    execution = Execution(backend, device, dtype, seed, memory_limit, options or {})
    source = data if isinstance(data, Dataset) else DataOptions(data, _path(data_dir), resize, download)
    return evaluate_spec(load_spec(spec, params, resize), execution, source, weights=weights, batch=batch, split=split)


def evaluate_spec(
    spec: Spec, execution: Execution, data: Dataset | DataOptions, *, weights: Weights, batch: int, split: str
) -> tuple[Spec, Dataset, Evaluation]:
    """Evaluate as `evaluate` does, with the options in objects."""
    dataset = _opened(data, spec, "evaluate")
    chosen = dataset.test if split == "test" else dataset.train
    if chosen is None:
        raise DataError(f"{dataset.name} has no test data: evaluate on the training data instead (split `train`)")
    check_memory(spec.graph, batch, itemsize(execution), execution.memory_limit)
    with _distributed(execution) as own:
        model = prepare(spec, own, weights)
        return spec, dataset, evaluate_split(model, chosen, spec.losses, batch)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
