"""The training loop, the same for every backend."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from cnnspec import atomic
from cnnspec.arrays import Array, Arrays, Samples
from cnnspec.data import Dataset, Loader, augmentation_of, epoch_order, held_out, mixing_of, steps_of
from cnnspec.errors import MemoryLimitError, TrainingError, WeightsError
from cnnspec.graph.settings import Input
from cnnspec.graph.training import Plateau, Train
from cnnspec.runtime.model import Model
from cnnspec.training import checkpoint, histograms
from cnnspec.training.checkpoint import Progress
from cnnspec.training.evaluation import evaluate_split
from cnnspec.training.events import (
    Callback,
    CheckpointWritten,
    EpochFinished,
    Event,
    RunFinished,
    RunStarted,
    StepFinished,
)
from cnnspec.training.logs import open_logs
from cnnspec.training.metrics import Values, added, metrics_of
from cnnspec.training.monitor import monitor_of
from cnnspec.training.recorded import BEST, LAST, METRICS, read_records
from cnnspec.training.result import Interrupted, Result
from cnnspec.weights import files as weights

CHECKPOINT_SECONDS = 60.0
_IDENTITY = {"samples": "{} samples", "processes": "{} processes", "labels": "labels with the checksum {}"}
"""What is the same for all of a run, in words."""


@dataclass
class Steps:
    """The steps of an epoch in one process."""

    since: float
    """When the first one was begun, in seconds."""
    samples: int = 0
    """The samples of those that are done."""
    begun: deque[tuple[Callable[[], float], Array | Arrays, int]] = field(default_factory=deque)
    """Those that are not: what waits for them and returns their loss, their targets, and their number of samples."""


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
    loader: Loader = field(default_factory=Loader)
    name: str = ""
    """The name of the network, for callbacks."""
    callbacks: list[Callback] = field(default_factory=list)
    """Called with each event, in every process."""
    logs: Sequence[str] = ()
    """Logs in the folder beside metrics.jsonl: `csv`, `tensorboard`."""
    recordings: Sequence[str] = ()
    """What is recorded of each epoch beside metrics.jsonl: `histograms`."""
    should_stop: Callable[[], bool] = lambda: False
    metadata: dict[str, str] = field(default_factory=dict)
    """Metadata of the checkpoints."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        self.train, self.validation = held_out(self.dataset, self.settings.validation, self.settings.seed)
        self.step_size = self.settings.batch * self.settings.accumulate
        """Samples in a step."""
        self.steps = math.ceil(self.train.n / self.step_size)
        self.losses = self.settings.by_output(self.model.graph.output_names)
        self.augmentation = None if self.input is None else augmentation_of(self.settings, self.model.graph, self.input)
        self.mixing = mixing_of(self.settings, self.model.graph)
        nodes = self.model.graph.output_nodes
        self.metrics = {name: metrics_of(loss, nodes[name].shape) for name, loss in self.losses.items()}
        """The metrics of each output that is trained, of no batch."""
        self.several = len(nodes) > 1
        test = self.dataset.test if self.validation is None else None
        evaluated = {"validation": self.validation, "test": test}
        self.evaluated = {name: split for name, split in evaluated.items() if split is not None and split.n}
        """What is evaluated after each epoch."""
        self.monitor = monitor_of(self.settings, self.metrics, [*self.evaluated], self.several)
        self.progress = Progress()
        self.result = Result()
        self.best: Arrays = {}
        self.model.begin_training(self.settings, self.steps)

    def resume(self) -> None:
        """Restore the last checkpoint of the folder; metrics that are later than it are dropped.

        Raises TrainingError where the data or the number of processes is another one.
        """
        assert self.folder is not None
        for key, value in self.identity.items():
            before = self.metadata.get(key, value)
            if before != value:
                raise TrainingError(
                    f"{self.folder} was trained on {_IDENTITY[key].format(before)}, and is to be resumed on "
                    f"{_IDENTITY[key].format(value)}: that would be another run; start a new one from its weights "
                    "(`--start`)"
                )
        self.progress = checkpoint.load(self.folder / LAST, self.model)
        self.result.epochs = [record for record in read_records(self.folder) if record["epoch"] <= self.progress.epoch]
        content = "".join(json.dumps(record) + "\n" for record in self.result.epochs)
        atomic.write(self.folder / METRICS, content.encode())
        histograms.forget_after(self.folder, self.progress.epoch)

    def run(self) -> Result:
        """Train until the last epoch; raise Interrupted, after writing a checkpoint, when asked to stop."""
        logs = []
        if self.folder is not None and self.model.process == 0:
            logs = open_logs(self.logs, self.folder, self.result.epochs)
        p = self.progress
        self.emit(RunStarted(self.name, self.settings, p.epoch, self.steps, self.train.n, self.folder))
        try:
            if p.epoch == 0 and p.batch == 0:
                self.save(LAST)  # so that even an interruption in the first step can be resumed
            while p.epoch < self.settings.epochs and not self.is_over:
                best = self.epoch()
                for log in logs:
                    log.write(self.result.epochs)
                self.emit(EpochFinished(self.result.epochs[-1], best))
        except MemoryLimitError as error:
            whole = f"; the checkpoint {self.folder / LAST} is whole" if self.folder else ""
            raise MemoryLimitError(f"{error}{whole}") from None
        finally:
            for log in logs:
                log.close()
        self.result.stopped_early = self.progress.epoch < self.settings.epochs
        self.result.best_epoch = self.progress.best_epoch
        self.load_best()
        if self.dataset.test is not None:
            self.result.test = evaluate_split(self.model, self.dataset.test, self.losses, loader=self.loader)
        self.emit(RunFinished(self.result.best_epoch, self.result.stopped_early))
        return self.result

    def emit(self, event: Event) -> None:
        """Call every callback with an event."""
        for callback in self.callbacks:
            callback(event)

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same when a run is resumed, beside its network and settings."""
        found = {"samples": str(self.train.n), "processes": str(self.model.processes)}
        strata = self.train.strata
        return found if strata is None else found | {"labels": f"{crc32(strata.tobytes()):08x}"}

    @property
    def is_over(self) -> bool:
        """Whether `early_stopping` ends the training here."""
        stopping = self.settings.early_stopping
        return stopping is not None and self.progress.stopping.epochs >= stopping.patience

    def load_best(self) -> None:
        """Load the weights that are the result into the model: those of the best epoch, or the last ones."""
        p = self.progress
        if self.settings.chooses_best and 0 < p.best_epoch < p.epoch:
            self.model.gather(None)  # the process that writes is done writing
            if self.folder is not None:
                self.best = weights.read(self.folder / BEST)
            self.model.load(self.best)
        elif self.settings.ema:
            with self.model.averaged():
                averages = self.model.state()
            self.model.load(averages)

    def epoch(self) -> bool:
        """Train the rest of the current epoch; return whether it is the best so far."""
        p = self.progress
        began = saved = time.perf_counter()
        steps = Steps(began)
        for x, target, n in self.batches(p.epoch, p.batch):
            steps.begun.append((self.model.start_step(x, target, self.settings.accumulate), target, n))
            self.finish(steps, all_but=int(self.model.overlaps))
            stops = any(self.model.gather(self.should_stop()))
            now = time.perf_counter()
            saves = now - saved > self.checkpoint_seconds  # in each process, and only one writes
            if stops or saves:
                self.finish(steps)
            if stops:
                p.seconds += now - began
                self.save(LAST)
                raise Interrupted
            if saves and p.batch < self.steps:
                p.seconds, began = p.seconds + now - began, now
                self.save(LAST)
                saved = now
        self.finish(steps)
        return self.end_of_epoch(time.perf_counter() - began)

    def finish(self, steps: Steps, all_but: int = 0) -> None:
        """Wait for the steps that were begun, but for so many of the latest, and count them."""
        p = self.progress
        while len(steps.begun) > all_but:
            finish, target, n = steps.begun.popleft()
            loss = finish()
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {p.batch + 1} of epoch {p.epoch + 1}: "
                    "a smaller learning_rate, a warm-up or inputs of a smaller scale may help"
                )
            self.result.losses.append(loss)
            p.batch += 1
            p.loss += loss * n
            p.samples += n
            self.count(target)
            steps.samples += n
            seconds = time.perf_counter() - steps.since
            mean, found = p.loss / p.samples, self.metrics_so_far()
            self.emit(StepFinished(p.epoch + 1, p.batch, self.steps, loss, mean, found, steps.samples, seconds))

    def count(self, target: Array | Arrays) -> None:
        """Add the outputs of a step to the metrics of the epoch."""
        found = {
            name: metric.counts(self.model.trained_outputs[name], target[name] if isinstance(target, dict) else target)
            for name, metric in self.metrics.items()
        }
        for of_process in self.model.gather(found):
            for name, sums in of_process.items():
                self.progress.sums[name] = added(self.progress.sums.get(name, {}), sums)

    def metrics_so_far(self) -> Values:
        """Return the metrics of the epoch so far, those of several outputs as `output.metric`."""
        return {
            f"{name}.{key}" if self.several else key: value
            for name, metric in self.metrics.items()
            for key, value in metric.brief(self.progress.sums[name]).items()
        }

    def end_of_epoch(self, seconds: float) -> bool:
        """Evaluate on the validation or test data, and write the record of the epoch and the checkpoints.

        Returns whether the epoch is the best so far.
        """
        p = self.progress
        p.seconds += seconds
        record = self.record_of_training()
        with self.model.averaged():
            for name, split in self.evaluated.items():
                found = evaluate_split(self.model, split, self.losses, loader=self.loader)
                record |= found.record(name)
                for output, one in found.outputs.items():
                    record["outputs"][output] |= one.record(name)
        record |= {
            "seconds": round(p.seconds, 3),
            "samples_per_second": round(p.samples * (p.epoch + 1) / p.seconds, 1),
            "data_wait": round(self.loader.waited, 3),
        }
        self.loader.waited = 0.0
        if self.dataset.skipped is not None:
            record["skipped"] = dict(self.dataset.skipped)
        p.epoch += 1
        p.batch, p.loss, p.samples, p.sums = 0, 0.0, 0, {}
        better = self.judge(self.monitor.score(record))
        self.result.epochs.append(record)
        if self.folder is not None and self.model.process == 0:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        if histograms.HISTOGRAMS in self.recordings and self.folder is not None:
            histograms.record(self.folder, self.model, self.train, self.settings.batch, p.epoch)
        if better:
            self.save(BEST)
            if self.folder is None:
                with self.model.averaged():
                    self.best = self.model.state()
        self.save(LAST)
        return better

    def record_of_training(self) -> dict[str, Any]:
        """Return what is known of an epoch from its steps."""
        p = self.progress
        record: dict[str, Any] = {
            "epoch": p.epoch + 1,
            "step": self.model.steps,
            "learning_rate": self.model.rate_of(self.model.steps - 1),
            "loss": p.loss / p.samples,
            "accuracy": None,
        }
        values = {name: metric.brief(p.sums[name]) for name, metric in self.metrics.items()}
        return record | ({"outputs": values} if self.several else next(iter(values.values())))

    def judge(self, score: float | None) -> bool:
        """Count an epoch with this score, lower the learning rate on a plateau; return whether it is the best."""
        p, schedule, stopping = self.progress, self.settings.schedule, self.settings.early_stopping
        if stopping is not None:
            p.stopping.count(score, stopping.improvement)
        if isinstance(schedule, Plateau):
            p.plateau.count(score, schedule.improvement * abs(p.plateau.best or 0.0))
            if p.plateau.epochs > schedule.patience:
                p.plateau.epochs = 0
                p.rate_factor = self.model.rate_factor = max(schedule.least, p.rate_factor * schedule.drop)
        better = score is not None and (p.best is None or score > p.best)
        if better:
            p.best, p.best_epoch = score, p.epoch
        return better

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Samples | dict[str, Samples], Array | Arrays, int]]:
        """Yield this process's part of the samples of each step of an epoch, from the given step on, with their number.

        The next is prepared during each step.
        """
        order = epoch_order(self.train.n, self.settings.seed, epoch)
        size = self.step_size
        steps = steps_of(order, size, first, shard=self.model.shard, mixing=self.mixing, epoch=epoch)
        augmentation = self.augmentation and self.augmentation.at(epoch)
        loaded = self.loader.batches(
            self.train,
            [step.indices for step in steps],
            augmentation,
            lambda i, batch: steps[i].mixed(batch),
            pixels=self.model.takes_pixels and self.mixing is None,  # mixing takes numbers
        )
        for (x, target), step in zip(loaded, steps, strict=True):
            yield x, target, step.samples

    def save(self, name: str) -> None:
        """Write a checkpoint to the folder, if there is one; raise TrainingError where it cannot be written."""
        if self.folder is None or self.model.process != 0:
            return
        path = self.folder / name
        try:
            checkpoint.save(path, self.model, self.progress, self.metadata | self.identity)
        except WeightsError as error:
            remedy = f"make room and continue with `cnnspec train --resume {self.folder}`"
            raise TrainingError(
                f"{error}; the checkpoint before is whole: {remedy}" if path.exists() else str(error)
            ) from error
        self.emit(CheckpointWritten(path))
