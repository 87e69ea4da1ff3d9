"""Small networks and runs that the tests of reports share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import cnnspec

CLASSIFIER = """\
name: tiny
input: [1, 8, 8]
classes: [left, right, "<b>both</b>"]
layers:
  - conv: {channels: 4, kernel: 3, activation: relu}
  - max_pool: 2
  - flatten
  - dense: {units: 6, activation: relu}
  - dense: 3
train: {data: samples.npz, optimizer: {adam: 0.01}, batch: 8, epochs: 3, validation: 0.25}
"""


def write_samples(folder: Path, n: int = 48) -> None:
    """Write samples of 8×8 pixels whose class is the side that is bright, or both."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = rng.integers(0, 60, (n, 8, 8), dtype=np.uint8)
    x[y != 1, :, :4] += 150
    x[y != 0, :, 4:] += 150
    np.savez(folder / "samples.npz", x=x, y=y)


def trained_run(folder: Path, text: str = CLASSIFIER, **options: object) -> Path:
    """Train the classifier in a folder; returns the folder of the run."""
    write_samples(folder)
    spec = cnnspec.loads(text.replace("samples.npz", str(folder / "samples.npz")))
    cnnspec.train(spec, folder=folder / "run", **options)  # type: ignore[arg-type]
    return folder / "run"
