"""Training as users rely on it: it learns, tells the same story on every backend, and survives whatever stops it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import command, trained_with_kills

import cnnspec
from cnnspec.data import DataError
from cnnspec.data.options import DataOptions
from cnnspec.errors import BackendError, MemoryLimitError, TrainingError
from cnnspec.language.load import load_spec
from cnnspec.runtime.backend import available
from cnnspec.runtime.options import Execution
from cnnspec.training.result import Interrupted
from cnnspec.training.run import Run, resume_run, settings_for, start_run
from cnnspec.weights import files as weights

BACKENDS = list(available())

SPEC = """
cnnspec: 1
name: small
input: {shape: [1, 8, 8], scale: 0.0625}
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - max_pool: 2
  - flatten
  - dropout: 0.2
  - dense: 10
train:
  optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}
  batch: 32
  epochs: 3
  validation: 0.2
  augment: {shift: 1}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten blurred shapes with noise, 300 to learn from and 60 to test."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(0, 200, (10, 1, 8, 8))
    y = np.arange(360) % 10
    x = np.clip(shapes[y] + rng.integers(-25, 26, (360, 1, 8, 8)), 0, 255).astype(np.uint8)
    path = tmp_path / "data.npz"
    np.savez(path, x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    return path


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_learns(backend: str, spec: Path, data: Path, tmp_path: Path) -> None:
    model, result = cnnspec.train(spec, str(data), backend=backend, folder=tmp_path / "run", epochs=10)
    assert result.test is not None
    assert result.test.accuracy is not None
    assert result.test.accuracy > 0.9
    assert result.epochs[-1]["loss"] < result.epochs[0]["loss"] / 2
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert records == result.epochs
    assert [record["epoch"] for record in records] == list(range(1, 11))
    # The best weights are the model's, and a file that serves wherever weights do.
    best = max(records, key=lambda record: record["validation_accuracy"])["epoch"]
    assert result.best_epoch == best
    saved = weights.read(tmp_path / "run" / "best.safetensors")
    assert saved.keys() == model.state().keys()
    for name, value in model.state().items():
        np.testing.assert_array_equal(saved[name], value)
    # The spec in the folder is the one that was run.
    assert cnnspec.load(tmp_path / "run" / "spec.yaml").train.epochs == 10  # type: ignore[union-attr]


NESTEROV = {"sgd": {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}}


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
@pytest.mark.parametrize("optimizer", [NESTEROV, "adam", "adamw"])
def test_backends_tell_the_same_story(optimizer: Any, spec: Path, data: Path) -> None:
    curves = []
    for backend in BACKENDS:
        run = started(
            spec,
            {"data": str(data), "optimizer": optimizer},
            keep=False,
            backend=backend,
            dtype="float64",
        )
        curves.append(run.trainer.run().losses)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-8)
    assert len(curves[0]) == 3 * 8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stop_after", [1, 5, 8, 13])
def test_a_stopped_run_resumes_bit_exactly(
    backend: str, stop_after: int, spec: Path, data: Path, tmp_path: Path
) -> None:
    given = {"data": str(data), "optimizer": {"adam": {"learning_rate": 0.01}}, "schedule": {"cosine": {"warmup": 1}}}
    undisturbed = started(spec, given, folder=tmp_path / "a", backend=backend)
    undisturbed.trainer.run()
    stopped = started(spec, given, folder=tmp_path / "b", backend=backend)
    stopped.trainer.should_stop = lambda: stopped.trainer.model.steps >= stop_after
    with pytest.raises(Interrupted):
        stopped.trainer.run()
    resumed = resumed_run(tmp_path / "b")
    assert resumed.trainer.model.steps == stop_after
    resumed.trainer.run()
    _equal_runs(tmp_path / "a", tmp_path / "b")


def test_where_memory_runs_out_the_checkpoint_is_named_and_whole(spec: Path, data: Path, tmp_path: Path) -> None:
    given = {"data": str(data)}
    undisturbed = started(spec, given, folder=tmp_path / "a")
    undisturbed.trainer.run()
    run = started(spec, given, folder=tmp_path / "b")
    run.trainer.checkpoint_seconds = 0
    start_step = run.trainer.model.start_step

    def start_three_steps(*arguments: Any) -> Any:
        if run.trainer.model.steps == 3:
            raise MemoryLimitError("out of memory: less fits")
        return start_step(*arguments)

    run.trainer.model.start_step = start_three_steps  # type: ignore[method-assign]
    with pytest.raises(MemoryLimitError, match=r"less fits; the checkpoint .*b/last\.safetensors is whole$"):
        run.trainer.run()
    resumed = resumed_run(tmp_path / "b")
    assert resumed.trainer.model.steps == 3
    resumed.trainer.run()
    _equal_runs(tmp_path / "a", tmp_path / "b")


def started(
    spec: Path | cnnspec.Spec, given: dict[str, Any], *, folder: Path | None = None, keep: bool = True, **options: Any
) -> Run:
    """A new run whose processes (there is one) have been left again."""
    loaded = load_spec(spec, None, resize=False)
    execution, data = Execution(**options), DataOptions(given.get("data"))
    with start_run(loaded, settings_for(loaded, given), execution, data, folder=folder, keep=keep) as run:
        return run


def resumed_run(folder: Path, epochs: int | None = None) -> Run:
    """The run of a folder, likewise."""
    with resume_run(folder, DataOptions(), epochs=epochs) as run:
        return run


def _equal_runs(a: Path, b: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        left, right = weights.read(a / name, private=True), weights.read(b / name, private=True)
        assert left.keys() == right.keys()
        for key, value in left.items():
            np.testing.assert_array_equal(value, right[key], err_msg=f"{name}: {key}")
    metrics = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (a, b)]
    for records in metrics:
        for record in records:
            del record["seconds"], record["samples_per_second"], record["data_wait"]
    assert metrics[0] == metrics[1]


def test_a_killed_run_resumes(spec: Path, data: Path, tmp_path: Path) -> None:
    """Kill -9 at random moments, over and over: what is left is whole, and ends where an undisturbed run ends."""
    random.seed(1)
    started(spec, {"data": str(data), "epochs": 30}, folder=tmp_path / "a").trainer.run()
    trained_with_kills([spec, "--data", data, "--epochs", 30], tmp_path / "b", kills=30)
    _equal_runs(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_writes_a_checkpoint(number: int, spec: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = command("train", spec, "--data", data, "--epochs", 10_000, "--out", run, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"cnnspec train --resume {run}" in errors
    assert "Traceback" not in errors + output
    assert resumed_run(run).trainer.model.steps > 0


def test_a_run_can_be_made_longer(spec: Path, data: Path, tmp_path: Path) -> None:
    started(spec, {"data": str(data), "epochs": 4}, folder=tmp_path / "a").trainer.run()
    started(spec, {"data": str(data), "epochs": 2}, folder=tmp_path / "b").trainer.run()
    resumed_run(tmp_path / "b", epochs=4).trainer.run()
    _equal_runs(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kernel_is_learnt_from_data(backend: str) -> None:
    """The chapter's: from the edge detector's input and output, training finds [1, −1]."""
    model, result = cnnspec.train("textbook/learn_kernel", backend=backend)
    np.testing.assert_allclose(model.state()["conv1.weight"], [[[[1, -1]]]], atol=1e-5)
    assert result.losses[-1] < 1e-10


def test_evaluation(spec: Path, data: Path) -> None:
    model, _ = cnnspec.train(spec, str(data), epochs=2)
    _, dataset, found = cnnspec.evaluate(spec, str(data), weights=model.state())
    with np.load(data) as arrays:
        y = model.predict(arrays["x_test"] * np.float32(0.0625))
        target = arrays["y_test"]
    assert found.samples == dataset.test.n == 60  # type: ignore[union-attr]
    assert found.accuracy == np.mean(y.argmax(1) == target)
    shifted = y.astype(float) - y.max(1, keepdims=True)
    expected = -(shifted[np.arange(60), target] - np.log(np.exp(shifted).sum(1))).mean()
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert found.confusion is not None
    assert found.confusion.sum(1).tolist() == np.bincount(target, minlength=10).tolist()
    assert found.confusion.sum(0).tolist() == np.bincount(y.argmax(1), minlength=10).tolist()
    third = found.per_class()[3]
    assert third["samples"] == 6
    assert third["recall"] == found.confusion[3, 3] / 6


def test_two_processes_are_one(spec: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = ["train", spec, "--data", data, "--backend", "torch", "--dtype", "float64", "--format", "json"]
    one = command(*arguments, "--out", tmp_path / "one", cwd=tmp_path)
    two = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "cnnspec", *map(str, arguments), "--out", str(tmp_path / "two")),
        ],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    outputs = []
    for process in (one, two):
        output, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        outputs.append([json.loads(line) for line in output.splitlines()])
    assert len(outputs[0]) == len(outputs[1]) == 4  # one log, not two: three epochs and the result
    results = [output.pop()["result"] for output in outputs]
    assert results[0]["test"]["confusion"] == results[1]["test"]["confusion"]
    for a, b in zip(*outputs, strict=True):
        for key in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            assert a[key] == pytest.approx(b[key], rel=1e-9), key
    left, right = (weights.read(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-8, atol=1e-10)
    resumed = command("train", "--resume", tmp_path / "two", "--epochs", 5)
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 1
    assert "was trained on 2 processes, and is to be resumed on 1 processes" in errors


def test_the_rate_in_the_record_is_the_one_that_was_used(spec: Path, data: Path) -> None:
    schedule = {"step": {"every": 1, "drop": 0.5}}
    _, result = cnnspec.train(spec, str(data), optimizer={"sgd": 0.1}, schedule=schedule)
    assert [record["learning_rate"] for record in result.epochs] == [0.1, 0.05, 0.025]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_needs_no_preparation(backend: str) -> None:
    """A model that was only built learns with the spec's loss and optimizer, at a constant rate."""
    model = cnnspec.build("lenet", backend, dtype="float64")
    x = np.random.default_rng(0).standard_normal((4, 1, 28, 28))
    target = np.arange(4)
    assert model.learning_rate == 0.005
    loss, gradients = model.loss_and_gradients(x, target)
    assert gradients.keys() == model.state().keys()
    losses = [model.step(x, target) for _ in range(20)]
    assert losses[0] == pytest.approx(loss, rel=1e-12)
    assert losses[-1] < losses[0]
    assert model.outputs.shape == (4, 10)


def test_two_processes_evaluate_as_one(spec: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    weights.write(tmp_path / "w.safetensors", cnnspec.build(spec).state())
    arguments = ["evaluate", spec, "--data", data, "--backend", "torch", "--weights", "w.safetensors"]
    two = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "cnnspec", *map(str, arguments), "--format", "json"),
        ],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert two.returncode == 0, two.stderr
    _, _, one = cnnspec.evaluate(spec, str(data), weights=tmp_path / "w.safetensors", backend="torch")
    found = json.loads(two.stdout)  # said once, not by both
    assert one.confusion is not None
    assert found["confusion"] == one.confusion.tolist()
    assert found["samples"] == 60
    assert found["loss"] == pytest.approx(one.loss, rel=1e-6)


class TestFaults:
    """What goes wrong is said before training where it can be known."""

    def test_nothing_to_train_on(self, spec: Path) -> None:
        with pytest.raises(DataError, match="--data"):
            started(spec, {})

    def test_a_folder_that_is_not_empty(self, spec: Path, data: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="not empty"):
            started(spec, {"data": str(data)}, folder=tmp_path)

    def test_nothing_to_resume(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no run"):
            resumed_run(tmp_path)

    def test_a_checkpoint_of_weights_alone(self, spec: Path, data: Path, tmp_path: Path) -> None:
        run = started(spec, {"data": str(data), "epochs": 1}, folder=tmp_path / "run")
        weights.write(tmp_path / "run" / "last.safetensors", run.trainer.model.state())
        with pytest.raises(weights.WeightsError, match="nothing to resume"):
            resumed_run(tmp_path / "run")

    def test_settings_that_are_wrong(self) -> None:
        graph = cnnspec.loads(SPEC)
        with pytest.raises(cnnspec.SpecError) as caught:
            settings_for(graph, {"optimizer": {"sdg": 0.1}, "epochs": 0})
        assert [d.code for d in caught.value.diagnostics] == ["invalid-value", "invalid-value"]

    def test_a_loss_that_grows_without_bound(self) -> None:
        with pytest.raises(TrainingError, match="learning_rate"), np.errstate(all="ignore"):
            cnnspec.train(SPEC_THAT_EXPLODES)

    def test_cross_entropy_over_an_image(self, data: Path) -> None:
        graph = cnnspec.loads("input: [1, 8, 8]\nlayers: [conv: {channels: 1, kernel: 1}]")
        model = cnnspec.build(graph)
        with pytest.raises(BackendError, match="a score for each class"):
            model.begin_training(settings_for(graph, {}), 1)

    def test_options_that_a_backend_has_not(self, data: Path) -> None:
        with pytest.raises(BackendError, match="numpy has no option `compile`; it has numerics, threads, autotune"):
            cnnspec.build("lenet", compile=True)

    def test_memory(self, data: Path) -> None:
        graph = cnnspec.loads("input: [1, 8, 8]\nlayers: [flatten, dense: 10]\ntrain: {batch: 10000000}")
        with pytest.raises(MemoryLimitError, match="batch of 10000000"):
            started(graph, {"data": str(data)}, keep=False)


SPEC_THAT_EXPLODES = cnnspec.Source(
    "explodes",
    """
cnnspec: 1
input: [1, 1, 2]
layers: [conv: {channels: 1, kernel: 1}]
examples: [{input: [1000, 2000], output: [3000, 6000]}]
train: {data: examples, loss: mean_squared_error, optimizer: {sgd: 100.0}, epochs: 100}
""",
)


def test_settings_beside_resume_are_refused_not_ignored(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from cnnspec.cli import main

    result = CliRunner().invoke(main, ["train", "--resume", str(tmp_path), "--backend", "numpy", "--lr", "1"])
    assert result.exit_code == 2
    assert "a resumed run has its own settings: leave out --learning-rate, --backend" in result.stderr
