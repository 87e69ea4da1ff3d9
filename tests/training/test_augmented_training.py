"""Training on augmented and mixed samples: alike on every backend, in any number of processes, and after a stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.data import DataError
from cnnspec.data.options import DataOptions
from cnnspec.runtime.backend import available
from cnnspec.runtime.options import Execution
from cnnspec.training.result import Interrupted
from cnnspec.training.run import Run, resume_run, settings_for, start_run
from cnnspec.weights import files as weights

BACKENDS = list(available())
SPEC = """
cnnspec: 1
name: small
input: {shape: [3, 8, 8], fit: resize}
layers:
  - conv: {channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - flatten
  - dense: 4
train:
  data: data.npz
  loss: {cross_entropy: {label_smoothing: 0.1, class_weights: [1, 2, 1, 0.5]}}
  optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
  batch: 8
  epochs: 2
  validation: 0.2
  augment:
    - random_resized_crop
    - flip: both
    - rotate: 20
    - scale: [0.8, 1.2]
    - color_jitter: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}
    - one_of: [grey: 1, noise: 9, blur, erase: 1]
  mixup: 0.2
  cutmix: 1.0
"""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 4
    np.savez("data.npz", x=rng.integers(0, 256, (60, 3, 12, 10), np.uint8), y=y)
    Path("small.yaml").write_text(SPEC)


def started(given: dict[str, Any] | None = None, *, folder: str | None = None, **options: Any) -> Run:
    """A new run whose processes (there is one) have been left again."""
    spec = cnnspec.load("small.yaml")
    settings = settings_for(spec, given or {})
    where = Path(folder) if folder else None
    with start_run(spec, settings, Execution(**options), DataOptions(), folder=where, keep=bool(folder)) as run:
        return run


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
def test_backends_train_alike() -> None:
    curves = [started(backend=backend, dtype="float64").trainer.run().losses for backend in BACKENDS]
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-8)
    assert len(curves[0]) == 2 * 6


SEGMENTER = """
name: net
input: [1, 8, 8]
layers: [conv: {channels: 4, kernel: 3, padding: same, activation: relu}, conv: {channels: 3, kernel: 1}]
train:
  data: masks.npz
  loss: {cross_entropy: {ignore: 2}}
  batch: 10
  epochs: 2
  augment: [flip: both, rotate: 45, noise: 3]
  cutmix: 1.0
"""


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
def test_backends_train_alike_on_masks_that_move_with_their_images() -> None:
    masks = np.random.default_rng(0).integers(0, 2, (40, 8, 8))
    np.savez("masks.npz", x=(masks * 200).astype(np.uint8), y=masks)
    spec = cnnspec.loads(SEGMENTER)
    results = [cnnspec.train(spec, backend=backend, dtype="float64", learning_rate=0.3)[1] for backend in BACKENDS]
    np.testing.assert_allclose(results[0].losses, results[1].losses, rtol=1e-8)
    longer = cnnspec.train(spec, epochs=20, learning_rate=0.5)[1].losses
    assert longer[-1] < 0.25  # pixels and classes would contradict each other if they moved apart


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stop_after", [1, 6, 7])
def test_a_stopped_run_resumes_bit_exactly(backend: str, stop_after: int) -> None:
    started(folder="a", backend=backend).trainer.run()
    stopped = started(folder="b", backend=backend)
    stopped.trainer.should_stop = lambda: stopped.trainer.model.steps >= stop_after
    with pytest.raises(Interrupted):
        stopped.trainer.run()
    with resume_run(Path("b"), DataOptions()) as run:
        pass
    run.trainer.run()
    left, right = (weights.read(Path(folder) / "last.safetensors", private=True) for folder in "ab")
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert np.array_equal(value, right[name]), name


def test_two_processes_are_one() -> None:
    pytest.importorskip("torch")
    arguments = ["small.yaml", "--backend", "torch", "--dtype", "float64"]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    commands = [
        [sys.executable, "-m", *before, "cnnspec", "train", *arguments, "--out", out]
        for before, out in (([], "one"), (launcher, "two"))
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    epochs = []
    for command in commands:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
        assert result.returncode == 0, result.stderr
        epochs.append([json.loads(line) for line in Path(command[-1], "metrics.jsonl").read_text().splitlines()])
    assert len(epochs[0]) == 2
    for a, b in zip(*epochs, strict=True):
        for key in ("loss", "accuracy"):
            assert a[key] == pytest.approx(b[key], rel=1e-9), key
    left, right = (weights.read(Path(name) / "last.safetensors") for name in ("one", "two"))
    for name, value in left.items():
        np.testing.assert_allclose(value, right[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_on_mixtures_is_the_mean_of_the_losses_of_both_classes(backend: str) -> None:
    """With cross-entropy and mixup, λ·L(y₁) + (1 − λ)·L(y₂), as Zhang et al. write it."""
    spec = cnnspec.loads("input: [6]\nlayers: [dense: 4]\ntrain: {loss: {cross_entropy: {label_smoothing: 0.2}}}")
    model = cnnspec.build(spec, backend, dtype="float64")
    x, first, second = np.random.default_rng(0).random((5, 6)), np.arange(5) % 4, np.arange(2, 7) % 4
    target = 0.3 * np.eye(4)[first] + 0.7 * np.eye(4)[second]
    mixed, one, other = (model.loss_and_gradients(x, t) for t in (target, first, second))
    assert mixed[0] == pytest.approx(0.3 * one[0] + 0.7 * other[0], rel=1e-12)
    for name, gradient in mixed[1].items():
        np.testing.assert_allclose(gradient, 0.3 * one[1][name] + 0.7 * other[1][name], rtol=1e-10)


def test_accuracy_is_of_the_class_with_the_larger_part() -> None:
    """Of samples that are mixed with themselves alone, it is the plain accuracy."""
    plain = started({"augment": [], "mixup": 0.0, "cutmix": 0.0, "batch": 1}).trainer.run()
    mixed = started({"augment": [], "mixup": 1.0, "cutmix": 0.0, "batch": 1}).trainer.run()
    assert plain.epochs[0]["accuracy"] == mixed.epochs[0]["accuracy"]
    np.testing.assert_allclose(plain.losses, mixed.losses, rtol=1e-5)


def test_what_cannot_be_augmented_is_refused_for_any_dataset() -> None:
    with pytest.raises(DataError, match="`shift: 8` can move images of 8×8 out of sight"):
        started({"augment": [{"shift": 8}]})
    np.savez("data.npz", x=np.zeros((8, 3, 4, 4), np.uint8), y=np.arange(8) % 4)
    with pytest.raises(DataError, match="`random_crop` cannot cut 8×8 out of 4×4"):
        started({"augment": ["random_crop"], "validation": 0.0})


@pytest.mark.parametrize(
    ("augment", "kinds"),
    [
        ("[random_resized_crop, flip: horizontal]", ["random_resized_crop", "flip"]),
        ("{shift: 1, flip: none}", ["shift"]),
        ("[]", []),
    ],
)
def test_the_command_line_takes_a_list_or_a_mapping(augment: str, kinds: list[str]) -> None:
    arguments = ["train", "small.yaml", "--augment", augment, "--epochs", "1", "--out", "run"]
    result = subprocess.run([sys.executable, "-m", "cnnspec", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    written = cnnspec.load("run/spec.yaml").train
    assert written is not None
    assert [transform.kind for transform in written.augment] == kinds
