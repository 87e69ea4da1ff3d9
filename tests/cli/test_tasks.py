"""Tasks from the command line: training, what it prints, and the evaluation of its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cnnspec

from cnnspec.runtime.backend import available

BACKENDS = list(available())

TASKS = {
    "labels": """
input: [1, 8, 8]
classes: [left, right, lower]
layers: [flatten, dense: {units: 16, activation: relu}, dense: 3]
train: {data: labels.npz, loss: binary_cross_entropy, optimizer: {adam: 0.01}, batch: 20, epochs: 25, validation: 0.2}
""",
    "numbers": """
input: [1, 8, 8]
layers: [flatten, dense: 1]
train: {data: numbers.npz, loss: l1, optimizer: {adam: 0.01}, batch: 20, epochs: 25, validation: 0.2}
""",
    "masks": """
input: [1, 8, 8]
classes: [ground, bright, dark]
layers:
  - conv: {channels: 8, kernel: 3, padding: same, norm: batch_norm, activation: relu}
  - conv: {channels: 3, kernel: 1}
train:
  {data: masks.npz, loss: {cross_entropy: {ignore: 9}}, optimizer: {adam: 0.03}, batch: 20, epochs: 20, validation: 0.2}
""",
}


@pytest.fixture
def task(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A spec and its data: what half of an image is bright, how bright it is, and which squares are."""
    name: str = request.param
    rng = np.random.default_rng(0)
    x = rng.integers(60, 120, (200, 1, 8, 8))
    if name == "masks":
        y = np.zeros((200, 8, 8), np.uint8)
        for i, (row, column, kind) in enumerate(zip(*rng.integers(0, [[5], [5], [2]], (3, 200)), strict=True)):
            area = (slice(row, row + 3), slice(column, column + 3))
            x[i, 0][area] += 120 if kind else -60
            y[i][area] = 1 if kind else 2
            y[i][0] = 9
    else:
        y = rng.integers(0, 2, (200, 3)).astype(np.uint8)
        for label, area in enumerate((np.s_[:, :, :4], np.s_[:, :, 4:], np.s_[:, 4:])):
            x[:, 0][area] += 60 * y[:, label, None, None].astype(int)
        if name == "numbers":
            y = x.mean(axis=(1, 2, 3)) / 100
    x = np.clip(x, 0, 255).astype(np.uint8)
    np.savez(tmp_path / f"{name}.npz", x_train=x[:150], y_train=y[:150], x_test=x[150:], y_test=y[150:])
    (tmp_path / f"{name}.yaml").write_text(TASKS[name])
    return name


def metrics(cnnspec: Cnnspec, *arguments: str) -> dict[str, Any]:
    result = cnnspec("evaluate", *arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


EXPECTED = {
    "labels": ("macro_f1", 0.9, "label", ["accuracy of labels", "macro F1", "exact match"]),
    "numbers": ("mae", -0.1, "", ["MAE", "RMSE"]),
    "masks": ("mean_iou", 0.8, "class", ["pixel accuracy", "mean IoU"]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", TASKS, indirect=True)
def test_a_task_is_trained_and_evaluated(cnnspec: Cnnspec, task: str, backend: str) -> None:
    main, least, heading, titles = EXPECTED[task]
    result = cnnspec("train", f"{task}.yaml", "--backend", backend, "--out", "run")
    assert result.exit_code == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("test: ")]
    assert all(f"{title} " in line for title in titles)
    last = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])
    assert {main, f"validation_{main}", "validation_loss", "loss", "accuracy"} <= last.keys()

    test = metrics(cnnspec, "run")
    assert test["split"] == "test"
    assert test["samples"] == 50
    assert (test[main] if least > 0 else -test[main]) > least
    held_out = metrics(cnnspec, "run", "--split", "validation")
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    losses = [record["validation_loss"] for record in records]
    assert held_out["samples"] == 30
    assert min(abs(held_out["loss"] - loss) for loss in losses) < 1e-9
    assert metrics(cnnspec, "run", "--split", "train", "--batch", "7")["samples"] == 120

    text = cnnspec("evaluate", "run").stdout
    assert all(f"{title} " in text.splitlines()[0] for title in titles)
    names = [entry["name"] for entry in test["classes"]]
    if heading:
        assert [line.split()[0] for line in text.splitlines()[2:7] if line[0] != "─"][:4] == [heading, *names]
    else:
        assert names == []
        assert test["confusion"] is None


@pytest.mark.parametrize("task", ["masks"], indirect=True)
def test_the_result_as_json(cnnspec: Cnnspec, task: str) -> None:
    flags = ("--early-stopping", "1", "--monitor", "validation_loss", "--lr", "1e-9", "--epochs", "9", "--out", "run")
    result = cnnspec("train", "masks.yaml", *flags, "--format", "json")
    *epochs, last = map(json.loads, result.stdout.splitlines())
    found = last["result"]
    assert found["stopped_early"] == (len(epochs) < 9)
    assert (found["monitor"], found["weights"]) == ("validation_loss", "run/best.safetensors")
    values = [record["validation_loss"] for record in epochs]
    assert found["best_epoch"] == 1 + values.index(min(values))
    assert [entry["name"] for entry in found["test"]["classes"]] == ["ground", "bright", "dark"]
    assert found["test"]["mean_iou"] == metrics(cnnspec, "run")["mean_iou"]


@pytest.mark.parametrize("task", ["numbers"], indirect=True)
def test_a_run_that_stopped_early_says_so(cnnspec: Cnnspec, task: str) -> None:
    flags = ("--optimizer", "{sgd: 1e-9}", "--early-stopping", "2", "--monitor", "validation_accuracy")
    refused = cnnspec("train", "numbers.yaml", *flags, "--out", "run")
    assert refused.exit_code == 1
    assert "`monitor: validation_accuracy` is no metric of this training, which has `loss`, `" in refused.stderr
    text = Path("numbers.yaml").read_text().replace("validation: 0.2", "early_stopping: {patience: 2, improvement: 9}")
    Path("numbers.yaml").write_text(text)
    result = cnnspec("train", "numbers.yaml", "--out", "run")
    assert result.exit_code == 0
    assert "stopped early after epoch 3: `loss` has not improved for 2 epochs" in result.stdout
    assert "weights: run/last.safetensors" in result.stdout
    again = cnnspec("train", "--resume", "run", "--epochs", "20")
    assert (again.exit_code, "stopped early after epoch 3" in again.stdout) == (0, True)
    refused = cnnspec("evaluate", "run", "--split", "validation")
    assert (refused.exit_code, "its `train:` has no `validation`" in refused.stderr) == (1, True)


@pytest.mark.parametrize("task", ["labels"], indirect=True)
def test_the_options_of_a_run_and_others(cnnspec: Cnnspec, task: str) -> None:
    flags = ("--dtype", "float64", "--numerics", "strict", "--epochs", "2", "--out", "run")
    assert cnnspec("train", "labels.yaml", *flags).exit_code == 0
    best = metrics(cnnspec, "run", "--split", "validation")
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert best["loss"] == min(record["validation_loss"] for record in records)  # in float64, as the run
    other = metrics(cnnspec, "run", "--split", "validation", "--dtype", "float32")
    assert other["loss"] == pytest.approx(best["loss"], rel=1e-5)
    assert other["loss"] != best["loss"]
    again = metrics(cnnspec, "labels.yaml", "--split", "validation", "--weights", "run/best.safetensors")
    assert again["loss"] == pytest.approx(best["loss"], rel=1e-5)
    refused = cnnspec("evaluate", "run", "--set", "a=1")
    assert (refused.exit_code, "a run has its own spec" in refused.stderr) == (2, True)
    Path("run/best.safetensors").unlink()
    refused = cnnspec("evaluate", "run")
    assert (refused.exit_code, "has not completed an epoch" in refused.stderr) == (1, True)
    Path("run/run.json").write_text("{")
    refused = cnnspec("evaluate", "run")
    assert (refused.exit_code, "is not what a run writes there" in refused.stderr) == (1, True)
