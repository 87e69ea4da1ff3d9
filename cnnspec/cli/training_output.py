"""What `cnnspec train` prints: a progress bar, a line for each epoch, and the result."""

from __future__ import annotations

import json
from typing import Any

import click

from cnnspec.cli.common import console, print_lines, text_width
from cnnspec.cli.metrics import as_data, by_output, class_names, print_classes
from cnnspec.cli.wrapping import wrapped
from cnnspec.graph.costs import trainable
from cnnspec.training.events import EpochFinished, Event, StepFinished
from cnnspec.training.recorded import BEST, LAST
from cnnspec.training.result import Result
from cnnspec.training.run import Run
from cnnspec.view.curves import curve_lines
from cnnspec.view.metrics import MOST_CLASSES, epoch_line, metric_text, summary, value_text


class JsonProgress:
    """Prints the record of each epoch as a line."""

    def attach(self, run: Run) -> None:
        """Print from now on."""
        run.trainer.callbacks.append(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, EpochFinished):
            click.echo(json.dumps(event.record))

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Bar:
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
        """Print what is known before the first step, and show the progress from now on."""
        trainer = run.trainer
        print_lines([_headline(run)])
        for note in run.notes:
            print_lines([f"note: {note}"])
        for record in trainer.result.epochs:
            click.echo(epoch_line(record, trainer.metrics, trainer.monitor))
        trainer.callbacks.append(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StepFinished):
            self.step(event)
        elif isinstance(event, EpochFinished):
            self.epoch(dict(event.record))

    def __enter__(self) -> None:
        self.bar.start()

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def step(self, info: StepFinished) -> None:
        """Move the bar."""
        text = f"loss {info.mean_loss:.4f}"
        if not self.run.trainer.several:
            main = next(iter(self.run.trainer.metrics.values())).main
            text += f", {metric_text(main, info.metrics[main])}"
        if info.seconds > 0:
            text += f", {info.samples / info.seconds:,.0f} samples/s"
        epoch = f"{info.epoch}/{self.run.trainer.settings.epochs}"
        self.bar.update(self.task, completed=info.step, total=info.steps, epoch=epoch, text=text)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print the line of an epoch."""
        trainer = self.run.trainer
        line, width = epoch_line(record, trainer.metrics, trainer.monitor), text_width()
        parts = [line] if width is None else wrapped(line, width)
        self.bar.console.print("\n".join(parts), soft_wrap=True)


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


def print_end(run: Run, result: Result) -> None:
    """Print why training ended, the metrics on the test data, and where the weights are."""
    trainer = run.trainer
    if result.stopped_early:
        epochs = trainer.progress.stopping.epochs
        waited = f"{epochs} epoch{'s' if epochs > 1 else ''}"
        ended = f"after epoch {trainer.progress.epoch}"
        print_lines([f"stopped early {ended}: `{trainer.monitor.key}` has not improved for {waited}"])
    if curves := curve_lines(result, text_width()):
        print_lines(["", *curves, ""])
    chosen = trainer.settings.chooses_best
    if (test := result.test) is not None:
        which = f"epoch {result.best_epoch}, the best" if chosen else "the last epoch"
        print_lines([f"test: {summary(test)} on {test.samples:,} samples ({which})"])
        for name, one in by_output(run.spec, test).items():
            if test.outputs:
                print_lines([f"test, {name}: {summary(one)}"])
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
        print_lines([f"weights: {trainer.folder / (BEST if chosen else LAST)}"])


def print_result(run: Run, result: Result) -> None:
    """Print the result as a line of JSON."""
    trainer = run.trainer
    found: dict[str, Any] = {"best_epoch": result.best_epoch, "monitor": trainer.monitor.key}
    found["stopped_early"] = result.stopped_early
    if trainer.folder is not None:
        found["weights"] = str(trainer.folder / (BEST if trainer.settings.chooses_best else LAST))
    if result.test is not None:
        found["test"] = as_data(run.spec, trainer.dataset, result.test)
    click.echo(json.dumps({"result": found}))
