"""A run: a spec, its settings, its data and its model, in a folder from which it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cnnspec import atomic
from cnnspec.data import DataError, Dataset, open_dataset
from cnnspec.diagnostics import Source
from cnnspec.graph.spec import Spec
from cnnspec.graph.training import Train
from cnnspec.language.checks import softmax_before_loss
from cnnspec.language.load import load
from cnnspec.language.render import render
from cnnspec.language.train import train_settings
from cnnspec.runtime import backend as backends
from cnnspec.runtime.build import build, engine_for
from cnnspec.runtime.memory import check_memory, check_training_memory
from cnnspec.runtime.model import Model
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.training.trainer import LAST, Result, Trainer
from cnnspec.version import __version__
from cnnspec.weights import files as weights

SPEC, SETTINGS = "spec.yaml", "run.json"


@dataclass(frozen=True)
class Config:
    """What a run's folder says beside the spec: where and how it computes."""

    backend: str
    device: str
    dtype: str
    options: dict[str, Any]
    data_dir: str | None
    memory_limit: int | None


@dataclass
class Run:
    """A training that is ready to start."""

    spec: Spec
    trainer: Trainer
    backend: str
    notes: tuple[str, ...] = ()
    """What is unusual about it, though nothing is wrong."""


def _loaded(spec: str | Path | Source | Spec, params: Mapping[str, Any] | None, resize: bool) -> Spec:
    found = spec if isinstance(spec, Spec) else load(spec, params=params)
    return found.resizing() if resize else found


def settings_for(spec: Spec, given: Mapping[str, Any], learning_rate: float | None = None) -> Train:
    """The spec's training settings with others in place of some; SpecError where one is at fault."""
    settings = spec.train or Train()
    if given:
        changed = train_settings(given)
        settings = settings.model_copy(update={name: getattr(changed, name) for name in given})
    if learning_rate is not None:
        if not learning_rate > 0:
            raise DataError(f"a learning rate is more than 0, not {learning_rate:g}")
        settings = settings.model_copy(
            update={"optimizer": settings.optimizer.model_copy(update={"learning_rate": learning_rate})}
        )
    return settings


@contextmanager
def start_run(
    spec: str | Path | Source | Spec,
    given: Mapping[str, Any],
    *,
    learning_rate: float | None = None,
    params: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    keep: bool = True,
    data: Dataset | None = None,
    data_dir: Path | None = None,
    resize: bool = False,
    download: bool = True,
    backend: str = "numpy",
    device: str = "cpu",
    dtype: str = "float32",
    weights: Any = None,
    memory_limit: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Run]:
    """Yield a new run in a new folder (`runs/<name>` where none is named; none at all unless `keep`).

    The processes that a launcher started beside this one are joined, and left at the end.
    """
    spec = _loaded(spec, params, resize)
    given_train = spec.train is not None  # then the checker has looked at it
    settings = settings_for(spec, given, learning_rate)
    spec = replace(spec, train=settings)
    if data is None and settings.data is None:
        raise DataError("there is nothing to train on: give --data, or `data` in the spec's `train:`")
    dataset = data or open_dataset(str(settings.data), spec, data_dir=data_dir, download=download)
    with backends.find(backend).distributed(device) as place:
        itemsize = max(4, engine_for(backend, dtype).dtypes()[dtype])
        check_training_memory(spec.graph, settings.batch, itemsize, settings.optimizer, memory_limit)
        model = build(spec, backend, weights, settings.seed, place, dtype, memory_limit, **(options or {}))
        about = {
            "cnnspec": __version__,
            "spec": spec.name,
            "seed": str(settings.seed),
            "backend": backend,
            "dtype": dtype,
        }
        trainer = Trainer(model, dataset, settings, spec.input, about=about)
        if keep:
            trainer.folder = model.gather(_new_folder(folder, spec.name) if model.process == 0 else None)[0]
        if trainer.folder is not None and model.process == 0:
            source = str(data_dir) if data_dir else None
            config = Config(backend, device, dtype, dict(options or {}), source, memory_limit)
            _write(trainer.folder / SPEC, render(spec))
            _write(trainer.folder / SETTINGS, json.dumps(asdict(config), indent=2) + "\n")
        late = "" if given_train else softmax_before_loss(settings, spec.graph.output)
        yield Run(spec, trainer, backend, (*dataset.notes, *([late] if late else [])))


@contextmanager
def resume_run(
    folder: Path, *, data_dir: Path | None = None, download: bool = True, epochs: int | None = None
) -> Iterator[Run]:
    """Yield a run as it was when its last checkpoint was written; `epochs` lets it continue for longer."""
    if not (folder / LAST).exists() or not (folder / SETTINGS).exists():
        raise DataError(f"{folder} is no run that can be resumed: it has no {SETTINGS} or no {LAST}")
    try:
        config = Config(**json.loads((folder / SETTINGS).read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder / SETTINGS} is not what a run leaves there: {error}") from error
    spec = load(folder / SPEC)
    settings = spec.train or Train()
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    source = data_dir or (Path(config.data_dir) if config.data_dir else None)
    dataset = open_dataset(str(settings.data), spec, data_dir=source, download=download)
    with backends.find(config.backend).distributed(config.device) as place:
        limit = config.memory_limit
        model = build(spec, config.backend, None, settings.seed, place, config.dtype, limit, **config.options)
        about = {key: value for key, value in weights.metadata(folder / LAST).items() if key != "progress"}
        trainer = Trainer(model, dataset, settings, spec.input, folder, about=about)
        trainer.resume()
        yield Run(spec, trainer, config.backend, dataset.notes)


def _new_folder(folder: Path | None, name: str) -> Path:
    """The folder that was named, which must be new or empty, or the first free one below `runs`."""
    if folder is None:
        safe = "".join(ch if ch.isalnum() or ch in "-_." else "-" for ch in name) or "network"
        number = 1
        while (Path("runs") / f"{safe}-{number}").exists():
            number += 1
        folder = Path("runs") / f"{safe}-{number}"
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty: name another folder, or go on there with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: Path, text: str) -> None:
    atomic.write(path, text.encode())


def train(
    spec: str | Path | Source | Spec,
    data: str | Dataset | None = None,
    *,
    backend: str = "numpy",
    device: str = "cpu",
    dtype: str = "float32",
    weights: Any = None,
    folder: str | Path | None = None,
    data_dir: str | Path | None = None,
    resize: bool = False,
    download: bool = True,
    params: Mapping[str, Any] | None = None,
    memory_limit: int | None = None,
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[Model, Result]:
    """Trains a spec, and returns the model and what the training came to.

    `data` is what `--data` takes, or a Dataset; `settings` are those of `train:` (epochs, batch, optimizer, …) in
    place of the spec's. With a `folder` it leaves metrics and checkpoints there.
    """
    given = dict(settings) | ({"data": data} if isinstance(data, str) else {})
    with start_run(
        spec,
        given,
        learning_rate=learning_rate,
        folder=Path(folder) if folder is not None else None,
        keep=folder is not None,
        data=data if isinstance(data, Dataset) else None,
        data_dir=Path(data_dir) if data_dir is not None else None,
        resize=resize,
        download=download,
        params=params,
        memory_limit=memory_limit,
        backend=backend,
        device=device,
        dtype=dtype,
        weights=weights,
        options=options,
    ) as run:
        return run.trainer.model, run.trainer.run()


def evaluate(
    spec: str | Path | Source | Spec,
    data: str | Dataset | None = None,
    *,
    weights: Any = None,
    backend: str = "numpy",
    device: str = "cpu",
    dtype: str = "float32",
    batch: int = 256,
    split: str = "test",
    data_dir: str | Path | None = None,
    resize: bool = False,
    download: bool = True,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    memory_limit: int | None = None,
    seen: Any = None,
) -> tuple[Spec, Dataset, Evaluation]:
    """How good weights are on the test (or the training) data; returns the spec, the dataset and the evaluation."""
    spec = _loaded(spec, params, resize)
    settings = spec.train or Train()
    if data is None and settings.data is None:
        raise DataError("there is nothing to evaluate on: give --data, or `data` in the spec's `train:`")
    place = Path(data_dir) if data_dir is not None else None
    dataset = (
        data
        if isinstance(data, Dataset)
        else open_dataset(str(data or settings.data), spec, data_dir=place, download=download)
    )
    chosen = dataset.test if split == "test" else dataset.train
    if chosen is None:
        raise DataError(f"{dataset.name} has no test data: evaluate on the training data instead (split `train`)")
    with backends.find(backend).distributed(device) as where:
        check_memory(spec.graph, batch, engine_for(backend, dtype).dtypes()[dtype], memory_limit)
        model = build(spec, backend, weights, seed, where, dtype, memory_limit)
        return spec, dataset, evaluate_split(model, chosen, settings.loss, batch, seen)
