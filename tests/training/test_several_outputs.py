"""Networks with several inputs and outputs through the commands: data by name, a loss for each output, metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cnnspec
from cnnspec.cli import main
from cnnspec.data import open_dataset
from cnnspec.errors import DataError
from cnnspec.runtime.backend import available
from cnnspec.testing.verification import verify

BACKENDS = list(available())

PAIR = """
name: pair
inputs: {left: {shape: [1, 6, 6], mean: 0.5}, right: [1, 6, 6]}
outputs: {same: verdict, shade: dense3}
classes: {same: [no, yes]}
layers:
  - conv: {channels: 4, kernel: 3, name: tower, activation: tanh}
  - concat: {l: [], r: [from: right, conv: {channels: 4, kernel: 3, share: tower}, tanh]}
  - flatten
  - dense: {units: 16, name: features, activation: tanh}
  - dense: {units: 2, name: verdict}
  - from: features
  - dense: 3
examples:
  - {name: both, inputs: {left: 0, right: 0}, outputs: {shade: 0}, tolerance: 10}
train:
  data: pairs.npz
  losses: {same: cross_entropy, shade: {mean_squared_error: {weight: 0.5}}}
  targets: {shade: colour}
  optimizer: {adam: 0.02}
  batch: 16
  epochs: 6
  validation: 0.25
"""

HEADS = """
name: heads
input: [6]
outputs: [main, aux]
classes: [a, b, c]
layers:
  - dense: {units: 8, activation: relu, name: stem}
  - dense: {units: 3, name: aux}
  - from: stem
  - dense: {units: 3, name: main}
train: {losses: {main: cross_entropy, aux: {cross_entropy: {weight: 0.3}}}, epochs: 2, batch: 8}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair.yaml").write_text(PAIR, "utf-8")
    (tmp_path / "heads.yaml").write_text(HEADS, "utf-8")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 80), ("test", 20)):
        left, right = rng.integers(0, 256, (2, n, 6, 6), dtype=np.uint8)
        same = np.arange(n) % 2
        right[same == 1] = left[same == 1]
        colour = rng.normal(size=(n, 3))
        arrays |= {f"left_{part}": left, f"right_{part}": right, f"same_{part}": same, f"colour_{part}": colour}
    np.savez(tmp_path / "pairs.npz", **arrays)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    np.savez(tmp_path / "labels.npz", x=x, y=x[:, :3].argmax(1))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_backend_tells_the_same_story(folder: Path, dtype: str) -> None:
    results = [cnnspec.train("pair.yaml", backend=backend, dtype=dtype)[1] for backend in BACKENDS]
    first = results[0]
    assert first.losses[-1] < first.losses[0]
    assert first.test is not None
    assert {*first.test.outputs} == {"same", "shade"}
    for other in results[1:]:
        np.testing.assert_allclose(other.losses, first.losses, rtol={"float64": 1e-12, "float32": 1e-6}[dtype])


def test_train_resume_and_evaluate(folder: Path) -> None:
    result = run("train", "pair.yaml", "--out", "run", "--format", "json")
    assert result.exit_code == 0, result.output
    last, end = map(json.loads, result.stdout.splitlines()[-2:])
    assert {*end["result"]["test"]["outputs"]} == {"same", "shade"}
    assert last["accuracy"] is None
    assert set(last["outputs"]["same"]) == {"accuracy", "validation_loss", "validation_accuracy", "validation_macro_f1"}
    assert set(last["outputs"]["shade"]) == {"mae", *(f"validation_{n}" for n in ("loss", "accuracy", "mae", "rmse"))}
    assert last["outputs"]["shade"]["validation_accuracy"] is None
    parts = last["outputs"]["same"]["validation_loss"] + 0.5 * last["outputs"]["shade"]["validation_loss"]
    assert last["validation_loss"] == pytest.approx(parts)
    result = run("train", "--resume", "run", "--epochs", "7")
    assert result.exit_code == 0, result.output
    assert ", same " in result.stdout
    result = run("evaluate", "pair.yaml", "--weights", "run/last.safetensors", "--format", "json")
    found = json.loads(result.stdout)
    assert [entry["name"] for entry in found["outputs"]["same"]["classes"]] == ["no", "yes"]
    assert found["outputs"]["shade"]["confusion"] is None
    assert found["loss"] == pytest.approx(
        found["outputs"]["same"]["loss"] + 0.5 * found["outputs"]["shade"]["loss"], rel=1e-9
    )
    text = run("evaluate", "pair.yaml", "--weights", "run/last.safetensors").stdout
    assert "same: accuracy" in text
    assert "shade: MAE " in text


def test_one_label_is_the_target_of_every_output(folder: Path) -> None:
    spec = cnnspec.load("heads.yaml")
    split = open_dataset("labels.npz", spec).train
    assert isinstance(split.targets, dict)
    np.testing.assert_array_equal(split.targets["main"], split.targets["aux"])
    _, result = cnnspec.train("heads.yaml", "labels.npz")
    _, plain = cnnspec.train("heads.yaml", "labels.npz", losses={"main": "cross_entropy"})
    assert set(result.epochs[-1]["outputs"]) == {"main", "aux"}
    assert set(plain.epochs[-1]["outputs"]) == {"main"}
    assert plain.losses[0] < result.losses[0]


def test_data_that_does_not_fit_is_an_error(folder: Path) -> None:
    pair, heads = cnnspec.load("pair.yaml"), cnnspec.load("heads.yaml")
    with pytest.raises(DataError, match=r"holds `x`, `y`; `pair` needs `left`, `right`, `same` or `y`, `colour`"):
        open_dataset("labels.npz", pair)
    with pytest.raises(DataError, match="`pair` has the inputs left, right, and `mnist` holds samples of one"):
        open_dataset("mnist", pair)
    np.savez("short.npz", x=np.zeros((4, 6), np.float32), main=np.arange(4) % 3, aux=np.arange(3))
    with pytest.raises(DataError, match=r"`short.npz \(train\)` has 4 samples, and 3 targets"):
        open_dataset("short.npz", heads)
    np.savez("wrong.npz", x=np.zeros((4, 6), np.float32), main=np.arange(4) % 3, aux=np.arange(4))
    with pytest.raises(DataError, match=r"`wrong.npz \(train\)\[aux\]` has 1 labels .* `aux` of `heads`"):
        open_dataset("wrong.npz", heads)
    result = run("train", "pair.yaml", "--augment", "{flip: horizontal}")
    assert "`augment` takes one input, and `pair` has 2" in result.stderr


def test_run_with_files_by_name(folder: Path) -> None:
    np.save("left.npy", np.zeros((2, 6, 6), np.uint8))
    np.save("right.npy", np.zeros((2, 6, 6), np.float32))
    np.savez("both.npz", left=np.load("left.npy"), right=np.load("right.npy"))
    result = run("run", "pair.yaml", "right=right.npy", "left=left.npy", "--format", "json", "--output", "y.npz")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [sample["source"] for sample in found["samples"]] == [
        "left.npy[0], right.npy[0]",
        "left.npy[1], right.npy[1]",
    ]
    outputs = found["samples"][0]["outputs"]
    assert outputs["same"]["top"][0]["class"] in ("no", "yes")
    written = np.load("y.npz")
    np.testing.assert_allclose(written["shade"][0], outputs["shade"]["output"], rtol=1e-6)
    again = json.loads(run("run", "pair.yaml", "both.npz", "--format", "json").stdout)
    assert again["samples"][1]["outputs"] == found["samples"][1]["outputs"]
    text = run("run", "pair.yaml").stdout
    assert "same:\nclasses by softmax" in text
    for arguments, message in {
        ("left=left.npy",): "no file is given for the input `right`: add `right=FILE`",
        ("left.npy",): "`left.npy` names none of the inputs `left` and `right`: write left=FILE right=FILE",
        (
            "left=left.npy",
            "right=right.npy",
            "right=right.npy",
        ): "different numbers of samples: 2 of `left`, 4 of `right`",
        ("pairs.npz",): "and no array for the input `left` and `right`",
    }.items():
        result = run("run", "pair.yaml", *arguments)
        assert (result.exit_code, message in result.stderr) == (1, True), result.stderr


def test_the_other_commands(folder: Path) -> None:
    assert all(comparison.first_mismatch is None for comparison in verify("pair.yaml"))
    result = run("test", "pair.yaml")
    assert (result.exit_code, f"{len(BACKENDS)} passed" in result.stdout) == (0, True), result.output
    result = run("bench", "pair.yaml")
    assert (
        "bench measures networks with one input and one output, and `pair` has 2 inputs and 2 outputs" in result.stderr
    )
    table = run("check", "pair.yaml").stdout
    assert "handed out as" in table
    found = json.loads(run("check", "pair.yaml", "--format", "json").stdout)
    assert found["inputs"] == ["left", "right"]
    assert found["outputs"] == {"same": "verdict", "shade": "dense3"}
    assert run("run", "pair.yaml", "--plan").exit_code == 0
