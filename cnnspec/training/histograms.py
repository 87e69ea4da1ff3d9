"""Histograms of the weights and gradients by epoch, a line of JSON each, in the folder of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Array
from cnnspec.data import Split
from cnnspec.errors import TrainingError
from cnnspec.runtime.model import Model
from cnnspec.wording import nearest

HISTOGRAMS = "histograms"
RECORDS = (HISTOGRAMS,)
"""What a run can record beside its metrics."""
FILE = "histograms.jsonl"
BINS = 40
"""Bins of a histogram; fewer of a few numbers."""


def expect_records(names: Sequence[str]) -> None:
    """Raise TrainingError for the name of something that no run records."""
    for name in names:
        if name not in RECORDS:
            near = nearest(name, RECORDS)
            remedy = f"did you mean `{near}`?" if near else f"there is {', '.join(RECORDS)}"
            raise TrainingError(f"a run cannot record `{name}`: {remedy}")


def histogram(values: Array) -> dict[str, Any]:
    """Return the counts of numbers in bins of equal width from the least to the largest; others do not count."""
    bins = max(5, min(BINS, 2 * math.isqrt(values.size)))
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return {"low": None, "high": None, "counts": [0] * bins, "mean": None, "std": None}
    counts, edges = np.histogram(finite, bins)
    mean, std = float(finite.mean()), float(finite.std())
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist(), "mean": mean, "std": std}


def epoch_histograms(model: Model, split: Split, batch: int) -> dict[str, Any]:
    """Return the histograms of every trained array and of its gradient over the first samples of the training data.

    The gradient is that of the weights as they are, of the first batch without augmentation; nothing changes.
    """
    n = min(batch, split.n)
    x, target = split.load(np.arange(n)[model.shard(n)])
    _, gradients = model.loss_and_gradients(x, target)
    trained = [name for name, parameter in model.graph.parameters.items() if parameter.trainable]
    state = model.state()
    return {
        "weights": {name: histogram(state[name]) for name in trained},
        "gradients": {name: histogram(gradients[name]) for name in trained if name in gradients},
    }


def record(folder: Path, model: Model, split: Split, batch: int, epoch: int) -> None:
    """Add the histograms of an epoch to the folder of a run; of several processes, the first one writes."""
    found = epoch_histograms(model, split, batch)
    if model.process == 0:
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **found}) + "\n")


def read_histograms(folder: Path) -> list[dict[str, Any]]:
    """Return the histograms of each epoch that was recorded; a line that is not whole is left out."""
    path = folder / FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def forget_after(folder: Path, epoch: int) -> None:
    """Drop the histograms of epochs that come after the last checkpoint, which is of that epoch."""
    if (folder / FILE).exists():
        kept = [found for found in read_histograms(folder) if found["epoch"] <= epoch]
        atomic.write(folder / FILE, "".join(json.dumps(found) + "\n" for found in kept).encode())
