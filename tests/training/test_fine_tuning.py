"""Fine-tuning as users rely on it: from a file, with a new head, a frozen body, interrupted and resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from kills import trained_with_kills
from numpy.testing import assert_array_equal

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.errors import DataError, TrainingError
from cnnspec.runtime.backend import available
from cnnspec.weights import files
from cnnspec.weights.initial import initial

BACKENDS = list(available())
Cnnspec = Callable[..., Result]

SPEC = """
name: small
input: {shape: [1, 8, 8], scale: 0.0625}
params: {classes: 10}
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu, name: stem}
  - max_pool: 2
  - flatten
  - dropout: 0.2
  - dense: {units: $classes, name: head}
train:
  data: data.npz
  optimizer: {sgd: {learning_rate: 0.001, momentum: 0.9}}
  batch: 32
  epochs: 3
"""
TUNED = "  start: old.safetensors\n  replace: head\n  freeze: [stem, batch_norm1]\n  rates: {head: 2}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data of five classes, a spec of ten, its weights, and a spec that starts from these."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(0, 200, (5, 1, 8, 8))
    y = np.arange(180) % 5
    x = np.clip(shapes[y] + rng.integers(-25, 26, (180, 1, 8, 8)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    (tmp_path / "small.yaml").write_text(SPEC)
    (tmp_path / "tuned.yaml").write_text(SPEC.replace("classes: 10", "classes: 5") + TUNED)
    files.write(tmp_path / "old.safetensors", initial(cnnspec.loads(SPEC).graph, 7))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_equal_runs(*runs: str) -> None:
    one, other = (files.read(Path(run) / "last.safetensors", private=True) for run in runs)
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert_array_equal(array, other[name], err_msg=name)


def old() -> Arrays:
    return files.read("old.safetensors")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_starts_from_a_file_and_keeps_what_is_frozen(backend: str, folder: Path) -> None:
    model, result = cnnspec.train("tuned.yaml", backend=backend, dtype="float64", epochs=10)
    for name, array in model.state().items():
        if not name.startswith("head."):
            assert_array_equal(array, old()[name])
    assert result.epochs[-1]["loss"] < result.epochs[0]["loss"] / 2


def test_the_first_loss_is_that_of_the_weights_it_starts_from(folder: Path) -> None:
    spec = cnnspec.load("tuned.yaml")
    weights = old() | {n: a for n, a in initial(spec.graph, 3).items() if n.startswith("head.")}
    _, one = cnnspec.train(spec, epochs=1, seed=3)
    _, other = cnnspec.train(spec, epochs=1, seed=3, start=None, replace=(), weights=weights)
    assert one.losses == other.losses


def test_weights_given_in_python_begin_a_layer_anew_too(folder: Path) -> None:
    one, _ = cnnspec.train("tuned.yaml", epochs=1)
    other, _ = cnnspec.train("tuned.yaml", epochs=1, weights=old())
    for name, array in one.state().items():
        assert_array_equal(array, other.state()[name])


def test_options_of_the_command(folder: Path, cnnspec: Cnnspec) -> None:
    common = ("--set", "classes=5", "--epochs", 1)
    options = ("--start", "old.safetensors", "--replace", "head", "--freeze", "stem", "--freeze", "batch_norm1")
    plain = cnnspec("train", "tuned.yaml", "--epochs", 1, "--out", "a")
    given = cnnspec("train", "small.yaml", *common, *options, "--rate", "head=2", "--out", "b")
    assert plain.exit_code == given.exit_code == 0
    assert "185 of 229 parameters trained" in given.output
    assert "note: starts from old.safetensors; head anew" in given.output
    assert_equal_runs("a", "b")
    assert Path("a/spec.yaml").read_text() == Path("b/spec.yaml").read_text()


def test_a_norm_that_is_not_frozen_with_its_layer_is_noted(folder: Path, cnnspec: Cnnspec) -> None:
    result = cnnspec("train", "tuned.yaml", "--epochs", 1, "--freeze", "stem")
    assert "note: batch_norm1 is not frozen, and the layer before it is" in result.output


def test_mistakes_on_the_command_line(folder: Path, cnnspec: Cnnspec) -> None:
    def error(*options: str) -> str:
        result = cnnspec("train", "small.yaml", "--set", "classes=5", *options)
        assert result.exit_code != 0
        assert not Path("runs").exists()
        return result.stderr

    assert "head.weight: expected [5, 36], found [10, 36]" in error("--start", "old.safetensors")
    assert "`replace: [head]` begins with new weights there" in error("--start", "old.safetensors")
    assert "`replace` begins layers anew beside those of `start`" in error("--replace", "head")
    assert "`freeze` has `stm`, which is no layer: did you mean `stem`?" in error("--freeze", "stm")
    assert "`rates` has `hed`, which is no layer with weights" in error("--rate", "hed=0.1")
    assert "`freeze` leaves no layer that can be trained" in error("--freeze", "*")
    assert "`rates` takes 0 or more, not -1" in error("--rate", "head=-1")
    assert "--rate takes NAME=VALUE" in error("--rate", "head")
    assert "both name the weights" in error("--start", "old.safetensors", "--weights", "old.safetensors")
    assert "there are no weights `none`" in error("--start", "none")


def test_faults_in_python(folder: Path) -> None:
    with pytest.raises(TrainingError, match="`freeze` has `stm`"):
        cnnspec.train("small.yaml", freeze=["stm"])
    with pytest.raises(DataError, match="name the file to start from"):
        cnnspec.train("small.yaml", replace=["head"])


def command(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnspec", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_resumes_without_the_file_it_started_from(folder: Path) -> None:
    cnnspec.train("tuned.yaml", epochs=40, folder="a", data="data.npz")
    start = Path("old.safetensors")
    trained_with_kills(
        ["tuned.yaml", "--epochs", 40], Path("b"), kills=4, on_start=lambda: start.unlink(missing_ok=True)
    )
    assert not start.exists()
    assert_equal_runs("a", "b")
