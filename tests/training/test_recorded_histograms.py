"""Histograms of weights and gradients by epoch: what is recorded, on both backends, and in runs that are resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.training.histograms import BINS, FILE, histogram, read_histograms
from cnnspec.training.trainer import Trainer

TEXT = """\
input: [1, 6, 6]
layers: [conv: {channels: 2, kernel: 3, norm: batch_norm, activation: relu}, flatten, dense: 3]
train: {data: DATA, optimizer: {sgd: 0.1}, batch: 4, epochs: 3}
"""


def spec_in(folder: Path) -> cnnspec.Spec:
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.integers(0, 255, (12, 6, 6), dtype=np.uint8), y=rng.integers(0, 3, 12))
    return cnnspec.loads(TEXT.replace("DATA", str(folder / "data.npz")))


def recorded(folder: Path, **options: Any) -> list[dict[str, Any]]:
    cnnspec.train(spec_in(folder), folder=folder / "run", recordings=["histograms"], **options)
    return read_histograms(folder / "run")


def test_a_histogram_counts_every_number() -> None:
    found = histogram(np.array([0.0, 1.0, 1.0, 4.0, np.nan]))
    assert (found["low"], found["high"], sum(found["counts"]), found["mean"]) == (0.0, 4.0, 4, 1.5)
    assert len(histogram(np.zeros(10_000))["counts"]) == BINS
    assert histogram(np.array([np.inf]))["low"] is None


def test_every_trained_array_and_its_gradient(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert [one["epoch"] for one in found] == [1, 2, 3]
    trained = ["conv1.weight", "batch_norm1.weight", "batch_norm1.bias", "dense1.weight", "dense1.bias"]
    model, _ = cnnspec.train(spec_in(tmp_path), backend="numpy")
    for part in ("weights", "gradients"):
        assert list(found[-1][part]) == trained
    for name in trained:
        assert found[-1]["weights"][name] == histogram(model.state()[name])


def test_recording_changes_nothing(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    without, _ = cnnspec.train(spec)
    recording, _ = cnnspec.train(spec, folder=tmp_path / "run", recordings=["histograms"])
    for name, array in without.state().items():
        assert np.array_equal(array, recording.state()[name]), name


def test_both_backends_record_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for backend in ("numpy", "torch"):
        (tmp_path / backend).mkdir()
    mine, other = (recorded(tmp_path / backend, backend=backend, dtype="float64") for backend in ("numpy", "torch"))
    for one, two in zip(mine, other, strict=True):
        for part in ("weights", "gradients"):
            for name, found in one[part].items():
                for key in ("low", "high", "mean", "std"):
                    assert found[key] == pytest.approx(two[part][name][key], rel=1e-6, abs=1e-9), (part, name, key)


def test_a_resumed_run_has_each_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the line of an epoch and before its checkpoint, the run writes that line anew."""
    whole = recorded(tmp_path)
    spec, folder = spec_in(tmp_path), tmp_path / "killed"
    save = Trainer.save

    def killed(self: Trainer, name: str) -> None:
        if self.progress.epoch == 2:
            raise KeyboardInterrupt
        save(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            cnnspec.train(spec, folder=folder, recordings=["histograms"])
    assert [one["epoch"] for one in read_histograms(folder)] == [1, 2]
    with (folder / FILE).open("a") as file:
        file.write('{"epoch": 3, "wei')
    from cnnspec.data.options import DataOptions
    from cnnspec.training.run import resume_run

    with resume_run(folder, DataOptions()) as run:
        run.trainer.run()
    assert read_histograms(folder) == whole


def test_a_run_remembers_what_it_records(cnnspec: Callable[..., Any], tmp_path: Path) -> None:
    spec_in(tmp_path)
    (tmp_path / "net.yaml").write_text(TEXT.replace("DATA", "data.npz"))
    assert cnnspec("train", "net.yaml", "--out", "run", "--record", "histograms").exit_code == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recordings"] == ["histograms"]
    assert cnnspec("train", "--resume", "run", "--epochs", "4").exit_code == 0
    assert [one["epoch"] for one in read_histograms(tmp_path / "run")] == [1, 2, 3, 4]
    result = cnnspec("train", "net.yaml", "--record", "histogram")
    assert result.exit_code == 1
    assert "a run cannot record `histogram`: did you mean `histograms`?" in result.stderr
