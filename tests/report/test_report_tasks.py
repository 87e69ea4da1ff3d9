"""Reports on runs of every task: what a task does not have is not there, and nothing else is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.report.write import report_html

pytest.importorskip("jinja2", reason="the extra `report` is not installed")
pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
pytest.importorskip("PIL", reason="the extra `report` is not installed")

RNG = np.random.default_rng(0)
X = RNG.integers(0, 255, (16, 6, 6), dtype=np.uint8)
CLASSES = RNG.integers(0, 3, 16)


def report(folder: Path, layers: str, train: str, **arrays: np.ndarray) -> str:
    """The report of a run of two epochs on these arrays."""
    np.savez(folder / "data.npz", **arrays)
    text = f"input: [1, 6, 6]\nlayers: {layers}\n{train}".replace("DATA", str(folder / "data.npz"))
    cnnspec.train(cnnspec.loads(text, name="net.yaml"), folder=folder / "run", epochs=2, batch=8)
    return report_html(folder / "run" / "spec.yaml", run=folder / "run")


def test_segmentation(tmp_path: Path) -> None:
    masks = RNG.integers(0, 2, (16, 6, 6))
    layers = "[conv: {channels: 2, kernel: 3, padding: same}]"
    text = report(tmp_path, layers, "train: {data: DATA, loss: cross_entropy}", x=X, y=masks)
    assert "mean IoU" in text
    assert "Confusion matrix" in text
    assert "The most confident mistakes" not in text


def test_regression(tmp_path: Path) -> None:
    layers = "[flatten, dense: 2]"
    text = report(tmp_path, layers, "train: {data: DATA, loss: l1}", x=X, y=RNG.random((16, 2)))
    assert "RMSE" in text
    assert "Confusion matrix" not in text
    assert "there are no dead units" in text


def test_labels(tmp_path: Path) -> None:
    layers = "[flatten, dense: {units: 4, activation: relu}, dense: 3]"
    labels = RNG.integers(0, 2, (16, 3))
    text = report(tmp_path, layers, "train: {data: DATA, loss: binary_cross_entropy}", x=X, y=labels)
    assert "exact match" in text
    assert "positives" in text
    assert "Confusion matrix" not in text


def test_several_outputs(tmp_path: Path) -> None:
    layers = "[flatten, dense: {units: 4, name: body}, dense: {units: 3, name: kind}, dense: {units: 2, name: box}]"
    train = "outputs: [kind, box]\ntrain: {data: DATA, losses: {kind: cross_entropy, box: mean_squared_error}}"
    text = report(tmp_path, layers, train, x=X, kind=CLASSES, box=RNG.random((16, 2)))
    assert "<h4>kind</h4>" in text
    assert "<h4>box</h4>" in text
    assert "kind: accuracy" in text
    assert "box: MAE" in text
    assert text.count("The most confident mistakes") == 1
