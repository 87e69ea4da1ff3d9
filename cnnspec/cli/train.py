"""`cnnspec train`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cnnspec.cli.common import console, format_option, given_options, packed, params_option, parse_values, show
from cnnspec.cli.execution import data_options, execution_options, weights_option
from cnnspec.cli.metrics import (
    MOST_CLASSES,
    as_data,
    by_output,
    class_names,
    epoch_line,
    metric_text,
    print_classes,
    summary,
    value_text,
)
from cnnspec.data.options import DataOptions
from cnnspec.graph.costs import trainable
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.recorded import BEST, LAST
from cnnspec.training.run import Run, resume_run, settings_for, start_run
from cnnspec.training.trainer import Interrupted, Result, StepInfo


def _settings(
    epochs: int | None,
    batch: int | None,
    loss: str | None,
    augment: str | None,
    optimizer: str | None,
    schedule: str | None,
    validation: float | None,
    monitor: str | None,
    early_stopping: int | None,
    learning_rate: float | None,
    start: str | None,
    replace: tuple[str, ...],
    freeze: tuple[str, ...],
    rates: tuple[str, ...],
) -> tuple[dict[str, Any], float | None]:
    """Return the settings that take the place of the spec's, and the learning rate."""
    written = {"loss": loss, "augment": augment, "optimizer": optimizer, "schedule": schedule}
    given: dict[str, Any] = {"epochs": epochs, "batch": batch, "validation": validation}
    given |= {"monitor": monitor, "early_stopping": early_stopping}
    given |= {"start": start, "replace": list(replace) or None, "freeze": list(freeze) or None}
    given["rates"] = parse_values("--rate", rates) or None
    for name, text in written.items():
        if text is not None:
            given[name] = parse_values(f"--{name}", (f"{name}={text}",), mappings=True)[name]
    return {name: value for name, value in given.items() if value is not None}, learning_rate


training_options = packed(
    "training",
    _settings,
    click.option("--epochs", type=click.IntRange(1), help="Number of epochs."),
    click.option("--batch", type=click.IntRange(1), help="Samples in a batch."),
    click.option("--loss", metavar="LOSS", help="cross_entropy or mean_squared_error, written as in a spec."),
    click.option("--augment", metavar="TRANSFORMS", help="Augmentation, as in a spec: `[shift: 2, flip: horizontal]`."),
    click.option("--optimizer", metavar="OPTIMIZER", help="sgd, adam or adamw, as in a spec: `{adam: 0.001}`."),
    click.option("--learning-rate", "--lr", type=float, help="Learning rate of the optimizer."),
    click.option("--schedule", metavar="SCHEDULE", help="constant, step or cosine, as in a spec: `{cosine: 0.1}`."),
    click.option("--validation", type=float, help="Fraction of the training data to hold out."),
    click.option("--monitor", metavar="METRIC", help="What chooses the best epoch: validation_loss, …"),
    click.option("--early-stopping", type=click.IntRange(1), help="Epochs without improvement after which to end."),
    click.option("--start", metavar="FILE", help="Weights to start from by name, as --weights takes them."),
    click.option("--replace", multiple=True, metavar="LAYERS", help="Layers that begin anew in place of --start's."),
    click.option(
        "--freeze", multiple=True, metavar="LAYERS", help="Layers that stay as they are: `stage1`, `*.conv1`."
    ),
    click.option("--rate", "rates", multiple=True, metavar="LAYERS=FACTOR", help="Factor of the learning rate."),
)
"""Settings in place of those of the spec's `train:` section; the command gets `training`."""


@click.command("train")
@click.argument("spec", required=False)
@data_options
@training_options
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run; by default runs/NAME-1, -2, …"
)
@click.option(
    "--resume", type=click.Path(path_type=Path, file_okay=False), metavar="RUN", help="Continue the run in this folder."
)
@weights_option
@execution_options
@params_option
@format_option
def command(
    spec: str | None,
    data: DataOptions,
    training: tuple[dict[str, Any], float | None],
    out: Path | None,
    resume: Path | None,
    weights: str | None,
    execution: Execution,
    params: dict[str, Any],
    output_format: str,
) -> None:
    """Train the network of SPEC; settings that are not given come from the spec's `train:` section.

    The folder of the run holds the spec as it was run, metrics.jsonl, and the best and the last checkpoint. Ctrl-C
    finishes the step and writes a checkpoint; `cnnspec train --resume RUN` continues from there, to the same weights
    as without the interruption. With --format json, each epoch is a line, and the result
    the last one.
    """
    given, learning_rate = training
    if resume is not None:
        if spec is not None:
            raise click.UsageError("a resumed run has its own spec: give --resume RUN without a SPEC")
        if ignored := [option for option in given_options() if option not in _WITH_RESUME]:
            raise click.UsageError(f"a resumed run has its own settings: leave out {', '.join(ignored)}")
        opened = resume_run(resume, data, epochs=given.get("epochs"))
    elif spec is None:
        raise click.UsageError("give a SPEC to train, or a run to --resume")
    else:
        if "--seed" in given_options():
            given["seed"] = execution.seed
        if weights is not None and "start" in given:
            raise click.UsageError("--weights and --start both name the weights to start from: leave one out")
        if data.source is not None:
            given["data"] = data.source
        loaded = load_spec(spec, params, data.resize)
        settings = settings_for(loaded, given, learning_rate)
        opened = start_run(loaded, settings, execution, data, weights=weights, folder=out)
    with _stop_on_interrupt() as stop, opened as run:
        _train(run, stop, output_format)


def _train(run: Run, stop: Callable[[], bool], output_format: str) -> None:
    """Train with progress on the terminal, or a JSON line for each epoch; only the first process prints."""
    prints = run.trainer.model.process == 0
    progress = _Json() if output_format == "json" else _Bar(run)
    if prints:
        if output_format == "text":
            show(run.spec.warnings, sys.stderr)
        progress.attach(run)
    run.trainer.should_stop = stop
    try:
        with progress:
            result = run.trainer.run()
    except Interrupted:
        if prints:
            click.echo(
                f"\nstopped in epoch {run.trainer.progress.epoch + 1}; "
                f"`cnnspec train --resume {run.trainer.folder}` continues",
                err=True,
            )
        sys.exit(130)
    if prints:
        (_print_end if output_format == "text" else _print_result)(run, result)


_WITH_RESUME = ("--resume", "--epochs", "--data", "--data-dir", "--no-download", "--workers", "--format")


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C (or SIGTERM) stop the loop after its step, and a second one raise KeyboardInterrupt."""
    requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Json:
    """Prints the record of each epoch as a line."""

    def attach(self, run: Run) -> None:
        run.trainer.on_epoch = lambda record: click.echo(json.dumps(record))

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class _Bar:
    """A progress bar on a terminal, and a line for each epoch everywhere."""

    def __init__(self, run: Run) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.out = console()
        self.run = run
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self.out,
            transient=True,
            disable=not self.out.is_terminal,
        )
        self.task = self.bar.add_task("", total=run.trainer.steps, epoch="", text="")
        self.seconds = 0.0

    def attach(self, run: Run) -> None:
        trainer = run.trainer
        click.echo(_headline(run))
        for note in run.notes:
            click.echo(f"note: {note}")
        for record in trainer.result.epochs:
            click.echo(epoch_line(record, trainer.metrics, trainer.monitor))
        trainer.on_step, trainer.on_epoch = self.step, self.epoch

    def __enter__(self) -> None:
        self.bar.start()

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def step(self, info: StepInfo) -> None:
        text = f"loss {info.mean_loss:.4f}"
        if not self.run.trainer.several:
            main = next(iter(self.run.trainer.metrics.values())).main
            text += f", {metric_text(main, info.metrics[main])}"
        if info.seconds > 0:
            text += f", {info.samples / info.seconds:,.0f} samples/s"
        epoch = f"{info.epoch}/{self.run.trainer.settings.epochs}"
        self.bar.update(self.task, completed=info.step, total=info.steps, epoch=epoch, text=text)

    def epoch(self, record: dict[str, Any]) -> None:
        trainer = self.run.trainer
        self.bar.console.print(epoch_line(record, trainer.metrics, trainer.monitor), soft_wrap=True)


def _headline(run: Run) -> str:
    trainer = run.trainer
    s, model = trainer.settings, trainer.model
    processes = f" in {model.processes} processes" if model.processes > 1 else ""
    held_out = f", {trainer.validation.n:,} held out" if trainer.validation is not None else ""
    total, trained = (trainable(graph.nodes) for graph in (run.spec.graph, model.graph))
    parameters = f", {trained:,} of {total:,} parameters trained" if trained < total else ""
    return (
        f"{run.spec.name} on {trainer.dataset.name}: {trainer.train.n:,} samples{held_out}, {s.epochs} epochs of "
        f"{trainer.steps} steps of {s.batch}{parameters}; "
        f"{s.optimizer.kind}, learning rate {s.optimizer.learning_rate:g}; {run.execution}{processes}; {trainer.folder}"
    )


def _print_end(run: Run, result: Result) -> None:
    """Print why training ended, the metrics on the test data, and where the weights are."""
    trainer = run.trainer
    if result.stopped_early:
        epochs = trainer.progress.stopping.epochs
        waited = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        ended = f"after epoch {trainer.progress.epoch}"
        click.echo(f"stopped early {ended}: `{trainer.monitor.key}` has not improved for {waited}")
    chosen = trainer.settings.chooses_best
    if (test := result.test) is not None:
        which = f"epoch {result.best_epoch}, the best" if chosen else "the last epoch"
        click.echo(f"test: {summary(test)} on {test.samples:,} samples ({which})")
        for name, one in by_output(run.spec, test).items():
            if test.outputs:
                click.echo(f"test, {name}: {summary(one)}")
            if 0 < len(one.per_class()) <= MOST_CLASSES:
                click.echo()
                print_classes(class_names(run.spec, trainer.dataset, name, one), one)
                click.echo()
    elif chosen and 0 < result.best_epoch <= len(result.epochs):
        value = trainer.monitor.value(result.epochs[result.best_epoch - 1])
        click.echo(
            f"best: epoch {result.best_epoch}, {trainer.monitor.key} {value_text(trainer.monitor.metric, value)}"
        )
    if trainer.folder is not None:
        click.echo(f"weights: {trainer.folder / (BEST if chosen else LAST)}")


def _print_result(run: Run, result: Result) -> None:
    """Print the result as a line of JSON."""
    trainer = run.trainer
    found: dict[str, Any] = {"best_epoch": result.best_epoch, "monitor": trainer.monitor.key}
    found["stopped_early"] = result.stopped_early
    if trainer.folder is not None:
        found["weights"] = str(trainer.folder / (BEST if trainer.settings.chooses_best else LAST))
    if result.test is not None:
        found["test"] = as_data(run.spec, trainer.dataset, result.test)
    click.echo(json.dumps({"result": found}))
