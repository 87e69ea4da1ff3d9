"""Checkpoints: the weights and the state of training in one safetensors file, written atomically.

The weights have their own names, so that a checkpoint is a weights file; the names of all other arrays begin with `@`,
which no layer's name does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.runtime.model import Model
from cnnspec.training.metrics import Sums
from cnnspec.training.monitor import Patience
from cnnspec.weights import files as weights
from cnnspec.weights.files import PRIVATE


@dataclass
class Progress:
    """The progress of training."""

    epoch: int = 0
    """Completed epochs."""
    batch: int = 0
    """Completed batches of the current epoch."""
    loss: float = 0.0
    """Sum of the losses of the samples of this epoch."""
    sums: dict[str, Sums] = field(default_factory=dict)
    """Of what the metrics of this epoch are computed, by output."""
    samples: int = 0
    """Samples of this epoch so far."""
    best: float | None = None
    """The best score so far; larger is better."""
    best_epoch: int = 0
    """The epoch of the best score."""
    stopping: Patience = field(default_factory=Patience)
    """What `early_stopping` waits for."""
    plateau: Patience = field(default_factory=Patience)
    """What the schedule `plateau` waits for."""
    rate_factor: float = 1.0
    """By what `plateau` has multiplied the learning rate."""
    seconds: float = 0.0
    """Time so far, in seconds."""


def save(path: Path, model: Model, progress: Progress, metadata: Mapping[str, str]) -> None:
    """Write a checkpoint atomically; its weights are the moving average, where `ema` asks for one."""
    with model.averaged():
        arrays = model.state() | {PRIVATE + name: value for name, value in model.training_state().items()}
    weights.write(path, arrays, {**metadata, "progress": json.dumps(asdict(progress), default=_plain)})


def load(path: Path, model: Model) -> Progress:
    """Restore the weights and the training state of a model, after `begin_training`."""
    arrays = weights.read(path, private=True)
    metadata = weights.metadata(path)
    if "progress" not in metadata:
        raise WeightsError(f"{path} holds weights, and nothing to resume training from")
    mine: Arrays = {name: value for name, value in arrays.items() if not name.startswith(PRIVATE)}
    with model.averaged():
        model.load(mine)
        model.load_training_state({k.removeprefix(PRIVATE): v for k, v in arrays.items() if k.startswith(PRIVATE)})
    progress = json.loads(metadata["progress"])
    if "correct" in progress:  # of the one output, as cnnspec 0.1 wrote it
        counts = {"correct": progress.pop("correct"), "counted": progress["samples"]}
        progress["sums"] = {model.graph.output_names[0]: counts}
    for name in {"stopping", "plateau"} & progress.keys():
        progress[name] = Patience(**progress[name])
    found = Progress(**progress)
    model.rate_factor = found.rate_factor
    return found


def _plain(value: Any) -> Any:
    """Return an array or a number of NumPy as JSON has it."""
    return value.tolist()
