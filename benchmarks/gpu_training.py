"""That CUDA trains: the accuracy of LeNet, resuming, and what two runs have in common."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from gpu_section import Section, Settings

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.data.options import DataOptions
from cnnspec.graph.training import Train
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.recorded import LAST
from cnnspec.training.result import Interrupted, Result
from cnnspec.training.run import resume_run, settings_for, start_run
from cnnspec.weights import files

STEPS = 20
"""Of two runs that are compared bit by bit."""


def sections(settings: Settings) -> list[Section]:
    """Return the sections of this part."""
    return [repeated(settings), *on_data(settings)]


def repeated(settings: Settings) -> Section:
    """The same training twice in one process: how far the weights are apart."""
    section = Section(f"{STEPS} steps of LeNet twice, largest difference of a weight")
    forms: list[tuple[str, dict[str, Any]]] = [("as it is", {}), ("deterministic", {"deterministic": True})]
    if settings.is_cuda:
        forms += [("autotune", {"autotune": True}), ("cuda_graphs", {"cuda_graphs": True})]
    for name, options in forms:
        one, two = (steps(settings, options) for _ in range(2))
        apart = max(float(np.abs(one[key] - two[key]).max()) for key in one)
        section.rows.append({"options": name, "difference": f"{apart:.1e}"})
        if name == "deterministic" and apart:
            section.faults.append(f"two deterministic runs differ by {apart:.1e}")
    return section


def steps(settings: Settings, options: dict[str, Any]) -> Arrays:
    """Return the weights after some steps on random numbers."""
    model = cnnspec.build("lenet", "torch", device=settings.device, **options)
    rng = np.random.default_rng(0)
    model.begin_training(Train(), STEPS)
    for _ in range(STEPS):
        model.step(rng.normal(size=(64, 1, 28, 28)), rng.integers(0, 10, 64))
    return model.state()


def on_data(settings: Settings) -> list[Section]:
    """LeNet on Fashion-MNIST: beside NumPy, in other formats, and stopped and resumed; in a dry run on drawn digits."""
    if settings.is_cuda and settings.data is None:
        title = "LeNet on Fashion-MNIST"
        return [Section(title, notes=["left out: `--data DIR` names the directory that holds fashion-mnist"])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if settings.is_cuda:
            options = DataOptions("fashion-mnist", settings.data, download=False)
        else:
            options = DataOptions(str(drawn(folder / "drawn.npz")))
        return [accuracy(options, settings), resumed(options, settings, folder)]


def drawn(path: Path) -> Path:
    """Write ten random pictures with noise, 640 to learn from and 320 to test, so that a dry run needs no data."""
    rng = np.random.default_rng(0)
    y = np.arange(960) % 10
    x = np.clip(rng.integers(0, 200, (10, 28, 28))[y] + rng.integers(-50, 51, (960, 28, 28)), 0, 255).astype(np.uint8)
    np.savez(path, x_train=x[:640], y_train=y[:640], x_test=x[640:], y_test=y[640:])
    return path


def accuracy(options: DataOptions, settings: Settings) -> Section:
    """Return the accuracy on the test data in several forms, which is to be that of NumPy."""
    epochs = 5 if settings.is_cuda else 1
    data = "Fashion-MNIST" if settings.is_cuda else "drawn digits"
    section = Section(f"LeNet on {data}, the settings of its spec and so many epochs: {epochs}")
    forms: list[tuple[str, Execution]] = [
        ("numpy", Execution("numpy")),
        ("float32", Execution("torch", settings.device)),
        ("bfloat16", Execution("torch", settings.device, "bfloat16")),
    ]
    if settings.is_cuda:
        graphs = {"cuda_graphs": True}
        forms.append(("float32, cuda_graphs", Execution("torch", settings.device, options=graphs)))
    reached = {}
    for name, execution in forms:
        result = trained(options, execution, epochs)
        record, test = result.epochs[-1], result.test
        assert test is not None
        assert test.accuracy is not None
        reached[name] = test.accuracy
        section.rows.append(
            {
                "run": name,
                "test accuracy": f"{test.accuracy:.2%}",
                "images/s": f"{record['samples_per_second']:,.0f}",
                "waited for data": f"{record['data_wait'] / record['seconds']:.1%}",
            }
        )
    for name, value in reached.items():
        if value < reached["numpy"] - 0.02:
            section.faults.append(f"{name} reaches {value:.2%}, and NumPy {reached['numpy']:.2%}")
    return section


def trained(options: DataOptions, execution: Execution, epochs: int) -> Result:
    """Return the result of a run that is not kept."""
    spec = load_spec("lenet", None, resize=False)
    with start_run(spec, settings_for(spec, {"epochs": epochs}), execution, options, keep=False) as run:
        return run.trainer.run()


def resumed(options: DataOptions, settings: Settings, folder: Path) -> Section:
    """A run that was stopped and resumed, and one that was not, beside a first: how far the weights are apart."""
    section = Section("One epoch of LeNet, largest difference of a weight from a first run")
    spec = load_spec("lenet", None, resize=False)
    given = settings_for(spec, {"epochs": 1})

    def run_in(name: str, stop_after: int | None = None) -> Arrays:
        with start_run(spec, given, Execution("torch", settings.device), options, folder=folder / name) as run:
            model = run.trainer.model
            run.trainer.should_stop = lambda: model.steps == stop_after
            with suppress(Interrupted):
                run.trainer.run()
        if stop_after is not None:
            with resume_run(folder / name, options) as run:
                run.trainer.run()
        return weights(folder / name)

    first = run_in("first")
    for name, stop_after in (("again", None), ("stopped after 5 steps and resumed", 5)):
        found = run_in(name.split()[0], stop_after)
        apart = max(float(np.abs(first[key] - found[key]).max()) for key in first)
        section.rows.append({"run": name, "difference": f"{apart:.1e}"})
        if not settings.is_cuda and apart:
            section.faults.append(f"{name}: on the CPU, runs are equal to the last bit")
    return section


def weights(folder: Path) -> Arrays:
    """Return the arrays of the last checkpoint, without the state of training."""
    return {name: array for name, array in files.read(folder / LAST).items() if not name.startswith("@")}
