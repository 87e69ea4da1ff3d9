"""What training is judged by: the best epoch, early stopping and the plateau, also across an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.data.options import DataOptions
from cnnspec.errors import TrainingError
from cnnspec.graph.training import Dice, Train
from cnnspec.language.load import load_spec
from cnnspec.runtime.backend import available
from cnnspec.runtime.options import Execution
from cnnspec.training.events import EpochFinished
from cnnspec.training.metrics import metrics_of
from cnnspec.training.monitor import Patience, monitor_of
from cnnspec.training.result import Interrupted
from cnnspec.training.run import Run, resume_run, settings_for, start_run
from cnnspec.weights import files as weights

BACKENDS = list(available())

SPEC = """
name: small
input: [6]
layers: [dense: {units: 8, activation: relu}, dense: 3]
train: {optimizer: {adam: 0.02}, batch: 16, epochs: 6, validation: 0.25}
"""


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 6)).astype(np.float32)
    y = (x[:, :3] + rng.normal(size=(160, 3))).argmax(1)
    np.savez(tmp_path / "data.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    return str(tmp_path / "data.npz")


def started(given: dict[str, Any], folder: Path | None = None, backend: str = "numpy") -> Run:
    spec = load_spec(cnnspec.loads(SPEC), None, resize=False)
    source, settings = DataOptions(given["data"]), settings_for(spec, given)
    with start_run(spec, settings, Execution(backend), source, folder=folder, keep=folder is not None) as run:
        return run


def resumed(folder: Path, epochs: int | None = None) -> Run:
    with resume_run(folder, DataOptions(), epochs=epochs) as run:
        return run


@pytest.mark.parametrize(
    ("monitor", "largest"),
    [
        ("validation_accuracy", True),
        ("validation_macro_f1", True),
        ("validation_loss", False),
        ("loss", False),
        ("accuracy", True),
    ],
)
def test_the_best_epoch_is_that_of_the_monitored_value(monitor: str, largest: bool, data: str) -> None:
    run = started({"data": data, "monitor": monitor})
    result = run.trainer.run()
    values = [record[monitor] for record in result.epochs]
    assert result.best_epoch == 1 + values.index((max if largest else min)(values))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "validation_accuracy"),
        ({"validation": 0.0}, "loss"),
        ({"validation": 0.0, "monitor": "test_accuracy"}, "test_accuracy"),
    ],
)
def test_the_default_and_test_data(given: dict[str, Any], key: str, data: str) -> None:
    assert started({"data": data} | given).trainer.monitor.key == key


def test_defaults_of_other_tasks() -> None:
    spec = cnnspec.loads("input: [1, 6, 6]\nlayers: [conv: {channels: 1, kernel: 1}]")
    for loss, key in {
        "dice": "validation_mean_iou",
        "binary_cross_entropy": "validation_loss",
        "l1": "validation_loss",
    }.items():
        settings = settings_for(spec, {"loss": loss})
        metrics = {"y": metrics_of(settings.loss, (1, 6, 6))}
        assert monitor_of(settings, metrics, ["validation"], several=False).key == key


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"monitor": "validation_mean_iou"}, "is no metric of this training, which has `loss`, `validation_loss`, "),
        ({"monitor": "validation_acuracy"}, "did you mean `validation_accuracy`?"),
        (
            {"monitor": "validation_loss", "validation": 0.0},
            "needs validation data, and none is held out: set `validation: 0.1`",
        ),
        ({"monitor": "test_loss"}, "needs test data after each epoch, and validation data is evaluated in its place"),
        ({"monitor": "epoch"}, "is no metric"),
    ],
)
def test_a_name_that_no_record_has(given: dict[str, Any], message: str, data: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        started({"data": data} | given, tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_outputs_by_name() -> None:
    metrics = {"a": metrics_of(Dice(), (2, 4, 4)), "b.c": metrics_of(Dice(), (1, 4, 4))}
    found = monitor_of(Train(monitor="b.c.validation_mean_iou"), metrics, ["validation"], several=True)
    record = {"outputs": {"b.c": {"validation_mean_iou": 0.5}, "a": {"validation_mean_iou": 0.1}}}
    assert found.score(record) == 0.5
    assert monitor_of(Train(), metrics, ["validation"], several=True).key == "validation_loss"


def test_patience() -> None:
    waiting = Patience()
    counted = []
    for score in (1.0, 1.05, 1.2, None, 1.2, 1.4):
        waiting.count(score, 0.1)
        counted.append(waiting.epochs)
    assert counted == [0, 1, 0, 1, 2, 0]


def test_early_stopping(data: str, tmp_path: Path) -> None:
    given = {"data": data, "monitor": "validation_loss", "early_stopping": {"patience": 2, "improvement": 0.5}}
    result = started(given | {"epochs": 50}, tmp_path / "run").trainer.run()
    losses = [record["validation_loss"] for record in result.epochs]
    best, waited = losses[0], 0
    for loss in losses[1:]:
        best, waited = (loss, 0) if loss < best - 0.5 else (best, waited + 1)
    assert (result.stopped_early, waited) == (True, 2)
    assert len(losses) < 50
    again = resumed(tmp_path / "run", epochs=60).trainer.run()
    assert (again.stopped_early, len(again.epochs)) == (True, len(losses))


def test_a_plateau_lowers_the_learning_rate(data: str) -> None:
    schedule = {"plateau": {"patience": 1, "drop": 0.5, "least": 0.2, "improvement": 0.9}}
    result = started({"data": data, "schedule": schedule, "epochs": 9, "monitor": "accuracy"}).trainer.run()
    best, waited, rate, expected = 0.0, 0, 0.02, []
    for record in result.epochs:
        expected.append(rate)
        better = record["accuracy"] > best + 0.9 * best
        best, waited = (record["accuracy"], 0) if better else (best, waited + 1)
        if waited > 1:
            rate, waited = max(0.2 * 0.02, rate * 0.5), 0
    assert [record["learning_rate"] for record in result.epochs] == pytest.approx(expected)
    assert expected[-1] == pytest.approx(0.004)


RECIPE = {
    "schedule": {"plateau": {"patience": 1, "improvement": 0.3, "drop": 0.5}},
    "early_stopping": {"patience": 3, "improvement": 0.1},
    "ema": 0.9,
    "epochs": 8,
    "monitor": "validation_loss",
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stop_after", [3, 12, 26, 33])
def test_a_stopped_run_resumes_bit_exactly(backend: str, stop_after: int, data: str, tmp_path: Path) -> None:
    given = RECIPE | {"data": data}
    whole = started(given, tmp_path / "a", backend).trainer.run()
    stopped = started(given, tmp_path / "b", backend)
    stopped.trainer.should_stop = lambda: stopped.trainer.model.steps >= stop_after
    with pytest.raises(Interrupted):
        stopped.trainer.run()
    rest = resumed(tmp_path / "b")
    result = rest.trainer.run()
    assert result.stopped_early
    assert (result.best_epoch, len(result.epochs)) == (whole.best_epoch, len(whole.epochs))
    for name in ("last.safetensors", "best.safetensors"):
        left, right = (weights.read(tmp_path / run / name, private=True) for run in ("a", "b"))
        assert left.keys() == right.keys()
        for key, value in left.items():
            np.testing.assert_array_equal(value, right[key], err_msg=f"{name}: {key}")
    records = [
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()] for run in "ab"
    ]
    for record in [*records[0], *records[1]]:
        del record["seconds"], record["samples_per_second"], record["data_wait"]
    assert records[0] == records[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("validation", [0.25, 0.0])
def test_the_moving_average_is_what_is_evaluated_and_kept(
    backend: str, validation: float, data: str, tmp_path: Path
) -> None:
    given = {
        "data": data,
        "ema": 0.9,
        "validation": validation,
        "epochs": 2,
        "monitor": None if validation == 0 else "loss",
    }
    given = {key: value for key, value in given.items() if value is not None}
    trainer = started(given, tmp_path / "run", backend).trainer
    plain: list[Any] = []
    trainer.callbacks.append(
        lambda event: plain.append(trainer.model.state()) if isinstance(event, EpochFinished) else None
    )
    result = trainer.run()
    for name in ("best", "last"):
        _, _, found = cnnspec.evaluate(
            tmp_path / "run",
            weights=tmp_path / "run" / f"{name}.safetensors",
            split="validation" if validation else "test",
        )
        key = "validation_loss" if validation else "test_loss"
        assert found.loss == pytest.approx(result.epochs[-1][key], rel=1e-12)
    kept = trainer.model.state()
    saved = weights.read(tmp_path / "run" / "last.safetensors")
    for name, value in kept.items():
        np.testing.assert_array_equal(value, saved[name])
        assert (value != plain[-1][name]).any()
