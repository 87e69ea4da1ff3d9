"""The training loop, the same for every backend."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Array, Arrays
from cnnspec.data import Dataset, Split, augmentation_of, epoch_order, mixing_of, split_off
from cnnspec.errors import TrainingError
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Train
from cnnspec.runtime.model import Model
from cnnspec.runtime.step import is_soft
from cnnspec.training import checkpoint
from cnnspec.training.checkpoint import Progress
from cnnspec.training.evaluation import Evaluation, evaluate_split
from cnnspec.weights import files as weights

LAST, BEST, METRICS = "last.safetensors", "best.safetensors", "metrics.jsonl"
CHECKPOINT_SECONDS = 60.0


class Interrupted(Exception):
    """Raised when training was asked to stop, after its checkpoint was written."""


@dataclass(frozen=True)
class StepInfo:
    """Progress after a step, for `Trainer.on_step`."""

    epoch: int
    """Counted from 1."""
    step: int
    """Completed steps of the epoch."""
    steps: int
    """Number of steps in an epoch."""
    loss: float
    """Loss of this step's batch."""
    mean_loss: float
    """Mean loss of the epoch so far."""
    accuracy: float | None
    """Accuracy of the epoch so far, with each sample's output from before its step."""
    samples: int
    """Samples of this epoch that this process was given, so far."""
    seconds: float
    """Time for these samples, in seconds."""


@dataclass
class Result:
    """The result of a training."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    """A record for each epoch, as in metrics.jsonl."""
    losses: list[float] = field(default_factory=list)
    """The loss of every step of this process."""
    best_epoch: int = 0
    """The epoch of the best checkpoint."""
    test: Evaluation | None = None
    """Evaluation of the best weights on the test data; None without test data."""


@dataclass
class Trainer:
    """Trains a model on a dataset and writes checkpoints and metrics to a folder.

    All random numbers derive from the seed of the settings, so that a run that was interrupted and resumed gives the
    same weights as one that was not.
    """

    model: Model
    dataset: Dataset
    settings: Train
    input: Input | None
    """Preprocessing of the input, which augmentation needs; None where there are several."""
    folder: Path | None = None
    on_step: Callable[[StepInfo], None] = lambda info: None
    on_epoch: Callable[[dict[str, Any]], None] = lambda record: None
    should_stop: Callable[[], bool] = lambda: False
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata of the checkpoints."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        self.train, self.validation = split_off(self.dataset.train, self.settings.validation, self.settings.seed)
        self.step_size = self.settings.batch * self.settings.accumulate
        """Samples in a step."""
        self.steps = math.ceil(self.train.n / self.step_size)
        self.losses = self.settings.by_output(self.model.graph.output_names)
        self.augmentation = None if self.input is None else augmentation_of(self.settings, self.model.graph, self.input)
        self.mixing = mixing_of(self.settings, self.model.graph)
        self.classifies = [name for name, loss in self.losses.items() if loss.targets == "classes"]
        """The outputs whose accuracy is counted."""
        self.several = len(self.model.graph.outputs) > 1
        self.progress = Progress()
        self.result = Result()
        self.best: Arrays = {}
        self.model.begin_training(self.settings, self.steps)

    def resume(self) -> None:
        """Restore the last checkpoint of the folder; metrics that are later than it are dropped."""
        assert self.folder is not None
        self.progress = checkpoint.load(self.folder / LAST, self.model)
        metrics = self.folder / METRICS
        lines = metrics.read_text("utf-8").splitlines() if metrics.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        self.result.epochs = [record for record in records if record["epoch"] <= self.progress.epoch]
        content = "".join(json.dumps(record) + "\n" for record in self.result.epochs)
        atomic.write(metrics, content.encode())

    def run(self) -> Result:
        """Train until the last epoch; raise Interrupted, after writing a checkpoint, when asked to stop."""
        if self.progress.epoch == 0 and self.progress.batch == 0:
            self.save(LAST)  # so that even an interruption in the first step can be resumed
        while self.progress.epoch < self.settings.epochs:
            self.epoch()
        self.result.best_epoch = self.progress.best_epoch
        self.load_best()
        if self.dataset.test is not None:
            self.result.test = evaluate_split(self.model, self.dataset.test, self.losses)
        return self.result

    def load_best(self) -> None:
        """Load the weights of the best epoch into the model, where validation data chose one."""
        if self.validation is None or self.progress.best_epoch == self.progress.epoch:
            return
        self.model.gather(None)  # the process that writes is done writing
        if self.folder is not None:
            self.best = weights.read(self.folder / BEST)
        self.model.load(self.best)

    def epoch(self) -> None:
        """Train the rest of the current epoch."""
        p = self.progress
        began = saved = started = time.perf_counter()
        samples = 0
        for x, target, n in self.batches(p.epoch, p.batch):
            loss = self.model.step(x, target, self.settings.accumulate)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {p.batch + 1} of epoch {p.epoch + 1}: "
                    "a smaller learning_rate, a warm-up or inputs of a smaller scale may help"
                )
            self.result.losses.append(loss)
            p.batch += 1
            p.loss += loss * n
            p.samples += n
            for name in self.classifies:
                labels = target[name] if isinstance(target, dict) else target
                if is_soft(self.losses[name], labels):  # of a mixture, the class that has the larger part
                    labels = labels.argmax(axis=1)
                correct = int((self.model.trained_outputs[name].argmax(axis=1) == labels).sum())
                p.correct_of[name] = p.correct_of.get(name, 0) + sum(self.model.gather(correct))
            now = time.perf_counter()
            samples += n
            mean = p.loss / p.samples
            self.on_step(StepInfo(p.epoch + 1, p.batch, self.steps, loss, mean, self.accuracy, samples, now - started))
            if any(self.model.gather(self.should_stop())):
                p.seconds += now - began
                self.save(LAST)
                raise Interrupted
            if now - saved > self.checkpoint_seconds and p.batch < self.steps:  # each process, and only one writes
                p.seconds, began = p.seconds + now - began, now
                self.save(LAST)
                saved = now
        self.end_of_epoch(time.perf_counter() - began)

    def end_of_epoch(self, seconds: float) -> None:
        """Evaluate on the validation or test data, and write the record of the epoch and the checkpoints."""
        p = self.progress
        p.seconds += seconds
        record: dict[str, Any] = {
            "epoch": p.epoch + 1,
            "step": self.model.steps,
            "learning_rate": self.model.rate_of(self.model.steps - 1),
            "loss": p.loss / p.samples,
            "accuracy": self.accuracy,
        }
        if self.several:
            record["outputs"] = {name: {"accuracy": correct / p.samples} for name, correct in p.correct_of.items()}
        score = -record["loss"]
        for name, split in (("validation", self.validation), ("test", self.dataset.test)):
            if split is None or split.n == 0 or (name == "test" and self.validation is not None):
                continue
            found = evaluate_split(self.model, split, self.losses)
            record |= {f"{name}_loss": found.loss, f"{name}_accuracy": found.accuracy}
            for output, one in found.outputs.items():
                metrics = {f"{name}_loss": one.loss, f"{name}_accuracy": one.accuracy}
                record["outputs"][output] = record["outputs"].get(output, {}) | metrics
            if name == "validation":
                score = found.accuracy if found.accuracy is not None else -found.loss
        record |= {
            "seconds": round(p.seconds, 3),
            "samples_per_second": round(p.samples * (p.epoch + 1) / p.seconds, 1),
        }
        p.epoch += 1
        p.batch, p.loss, p.samples, p.correct_of = 0, 0.0, 0, {}
        better = p.best is None or score > p.best
        if better:
            p.best, p.best_epoch = score, p.epoch
        self.result.epochs.append(record)
        if self.folder is not None and self.model.process == 0:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        if better:
            self.save(BEST)
            self.best = self.model.state() if self.folder is None else {}
        self.save(LAST)
        self.on_epoch(record)

    @property
    def accuracy(self) -> float | None:
        """The accuracy of the epoch so far; None where the network has several outputs, or no classes."""
        p = self.progress
        return None if self.several or not self.classifies else p.correct_of[self.classifies[0]] / p.samples

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Array | Arrays, Array | Arrays, int]]:
        """Yield this process's part of the samples of each step of an epoch, from the given step on, with their number.

        The next is prepared during each step.
        """
        order = epoch_order(self.train.n, self.settings.seed, epoch)
        size = self.step_size
        steps = list(range(first, self.steps))

        def prepare(step: int) -> tuple[Array | Arrays, Array | Arrays, int]:
            indices = order[step * size : (step + 1) * size]
            return *self.batch_of(self.train, indices, epoch, step), len(indices)

        with ThreadPoolExecutor(1) as worker:
            pending = [worker.submit(prepare, step) for step in steps[:1]]
            while pending:
                batch = pending.pop().result()
                pending = [worker.submit(prepare, step) for step in steps[1:2]]
                del steps[:1]
                yield batch

    def batch_of(self, split: Split, indices: Array, epoch: int, step: int) -> tuple[Array | Arrays, Array | Arrays]:
        """Return this process's samples of a step of an epoch, augmented and mixed, and their targets."""
        augmentation = self.augmentation and self.augmentation.at(epoch)
        mine = np.arange(len(indices))[self.model.shard(len(indices))]
        if self.mixing is None:
            return split.load(indices[mine], augmentation)
        mix = self.mixing.draw(len(indices), epoch, step)
        needed, at = np.unique(np.concatenate([mine, mix.partners[mine]]), return_inverse=True)
        x, target = split.load(indices[needed], augmentation)
        return mix.applied(x, target, at[: len(mine)], at[len(mine) :])

    def save(self, name: str) -> None:
        """Write a checkpoint to the folder, if there is one."""
        if self.folder is not None and self.model.process == 0:
            checkpoint.save(self.folder / name, self.model, self.progress, self.metadata)
