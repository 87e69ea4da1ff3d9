"""Checkpoints: the weights and all that training needs to go on, in one safetensors file that is never half written.

The weights stand under their own names, so that a checkpoint serves wherever weights do; what else is in the file
has names that begin with `@`, which no layer's can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cnnspec.arrays import Arrays
from cnnspec.errors import WeightsError
from cnnspec.runtime.model import Model
from cnnspec.weights import files as weights
from cnnspec.weights.files import PRIVATE


@dataclass
class Progress:
    """How far training has come."""

    epoch: int = 0
    """Epochs that are over."""
    batch: int = 0
    """Batches of the present epoch that are over."""
    loss: float = 0.0
    """Sum of the losses of this epoch's samples."""
    correct: int = 0
    """Samples of this epoch that were classified right."""
    samples: int = 0
    """Samples of this epoch."""
    best: float | None = None
    """The best score so far; larger is better."""
    best_epoch: int = 0
    """The epoch that had it."""
    seconds: float = 0.0
    """Time spent so far."""


def save(path: Path, model: Model, progress: Progress, about: Mapping[str, str]) -> None:
    """Writes a checkpoint whole or not at all."""
    arrays = model.state() | {PRIVATE + name: value for name, value in model.training_state().items()}
    weights.write(path, arrays, {**about, "progress": json.dumps(asdict(progress))})


def load(path: Path, model: Model) -> Progress:
    """Puts a model, whose training has begun, where it was."""
    arrays = weights.read(path, private=True)
    about = weights.metadata(path)
    if "progress" not in about:
        raise WeightsError(f"{path} holds weights, and nothing to resume training from")
    mine: Arrays = {name: value for name, value in arrays.items() if not name.startswith(PRIVATE)}
    model.load(mine)
    model.load_training_state({k.removeprefix(PRIVATE): v for k, v in arrays.items() if k.startswith(PRIVATE)})
    return Progress(**json.loads(about["progress"]))
