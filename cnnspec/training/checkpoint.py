"""Checkpoints: the weights and the state of training in one safetensors file, written atomically.

The weights have their own names, so that a checkpoint is a weights file; the names of all other arrays begin with `@`,
which no layer's name does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.runtime.model import Model
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
    correct_of: dict[str, int] = field(default_factory=dict)
    """Correctly classified samples of this epoch, by output."""
    samples: int = 0
    """Samples of this epoch so far."""
    best: float | None = None
    """The best score so far; larger is better."""
    best_epoch: int = 0
    """The epoch of the best score."""
    seconds: float = 0.0
    """Time so far, in seconds."""


def save(path: Path, model: Model, progress: Progress, metadata: Mapping[str, str]) -> None:
    """Write a checkpoint atomically."""
    arrays = model.state() | {PRIVATE + name: value for name, value in model.training_state().items()}
    weights.write(path, arrays, {**metadata, "progress": json.dumps(asdict(progress))})


def load(path: Path, model: Model) -> Progress:
    """Restore the weights and the training state of a model, after `begin_training`."""
    arrays = weights.read(path, private=True)
    metadata = weights.metadata(path)
    if "progress" not in metadata:
        raise WeightsError(f"{path} holds weights, and nothing to resume training from")
    mine: Arrays = {name: value for name, value in arrays.items() if not name.startswith(PRIVATE)}
    model.load(mine)
    model.load_training_state({k.removeprefix(PRIVATE): v for k, v in arrays.items() if k.startswith(PRIVATE)})
    progress = json.loads(metadata["progress"])
    if "correct" in progress:  # of the one output, as cnnspec 0.1 wrote it
        progress["correct_of"] = {model.graph.output_names[0]: progress.pop("correct")}
    return Progress(**progress)
