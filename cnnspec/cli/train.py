"""`cnnspec train`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cnnspec.cli.common import console, data_options, model_options, settings, show
from cnnspec.training.run import Run, resume_run, start_run
from cnnspec.training.trainer import Moment, Stopped


@click.command("train")
@click.argument("spec", required=False)
@data_options
@click.option("--epochs", type=click.IntRange(1), help="Instead of the spec's.")
@click.option("--batch", type=click.IntRange(1), help="Instead of the spec's.")
@click.option("--loss", metavar="NAME", help="cross_entropy or mean_squared_error, as in a spec.")
@click.option("--augment", metavar="FIELDS", help="As in a spec: `{shift: 2, flip: horizontal}`.")
@click.option("--optimizer", metavar="NAME", help="sgd, adam or adamw, as in a spec: `{sgd: {momentum: 0.9}}`.")
@click.option("--learning-rate", "--lr", type=float, help="Instead of the optimizer's.")
@click.option("--schedule", metavar="NAME", help="constant, step or cosine, as in a spec: `{cosine: {warmup: 1}}`.")
@click.option("--validation", type=float, help="Share of the training data to hold out, instead of the spec's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The run's folder; by default runs/NAME-1, -2, …",
)
@click.option("--resume", type=click.Path(path_type=Path, file_okay=False), metavar="RUN", help="Go on with a run.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile (torch backend).")
@click.option("--channels-last/--channels-first", default=None, help="How images lie in memory (torch backend).")
@click.option("--tf32", is_flag=True, help="Let CUDA round products to TF32 (torch backend).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="json: a line an epoch.")
@model_options
def command(
    spec: str | None,
    data: str | None,
    data_dir: Path | None,
    resize: bool,
    no_download: bool,
    epochs: int | None,
    batch: int | None,
    loss: str | None,
    augment: str | None,
    optimizer: str | None,
    learning_rate: float | None,
    schedule: str | None,
    validation: float | None,
    out: Path | None,
    resume: Path | None,
    compiled: bool,
    channels_last: bool | None,
    tf32: bool,
    form: str,
    backend: str,
    device: str,
    dtype: str,
    weights: str | None,
    seed: int,
    memory_limit: int | None,
    sets: tuple[str, ...],
) -> None:
    """Train the network of SPEC; what is not given comes from the spec's `train:` section.

    The run's folder holds the spec as it was run, metrics.jsonl, and the best and the last checkpoint. Ctrl-C
    finishes the step and writes a checkpoint; `cnnspec train --resume RUN` goes on from there, to the same weights
    as if nothing had happened.
    """
    if spec is None and resume is None:
        raise click.UsageError("give a SPEC to train, or a run to --resume")
    if spec is not None and resume is not None:
        raise click.UsageError("a run that is resumed has its own spec: give --resume RUN without a SPEC")
    with _stop_on_interrupt() as stop, ExitStack() as stack:
        if resume is not None:
            run = stack.enter_context(resume_run(resume, data_dir=data_dir, download=not no_download, epochs=epochs))
        else:
            given = {
                "data": data,
                "epochs": epochs,
                "batch": batch,
                "loss": _yaml("--loss", loss),
                "augment": _yaml("--augment", augment),
                "optimizer": _yaml("--optimizer", optimizer),
                "schedule": _yaml("--schedule", schedule),
                "validation": validation,
                "seed": seed if _was_given("seed") else None,
            }
            opened = start_run(
                str(spec),
                {key: value for key, value in given.items() if value is not None},
                learning_rate=learning_rate,
                params=settings(sets),
                folder=out,
                data_dir=data_dir,
                resize=resize,
                download=not no_download,
                backend=backend,
                device=device,
                dtype=dtype,
                weights=weights,
                memory_limit=memory_limit,
                options={
                    **({"compile": True} if compiled else {}),
                    **({"channels_last": channels_last} if channels_last is not None else {}),
                    **({"tf32": True} if tf32 else {}),
                },
            )
            run = stack.enter_context(opened)
        leads = run.trainer.model.process == 0
        if leads and form == "text":
            show(run.spec.warnings, sys.stderr)
        listener = _Json() if form == "json" else _Bar(run)
        if leads:
            listener.attach(run)
        run.trainer.should_stop = stop
        try:
            with listener:
                result = run.trainer.run()
        except Stopped:
            if leads:
                click.echo(
                    f"\nstopped in epoch {run.trainer.progress.epoch + 1}; "
                    f"`cnnspec train --resume {run.trainer.folder}` goes on",
                    err=True,
                )
            sys.exit(130)
    if leads and form == "text":
        _print_end(run, result)


def _was_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _yaml(flag: str, text: str | None) -> Any:
    return None if text is None else settings((f"{flag}={text}",), mappings=True)[flag]


@contextmanager
def _stop_on_interrupt() -> Iterator[Any]:
    """The first Ctrl-C (or SIGTERM) asks the loop to stop behind its step; a second one is Python's own."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Json:
    """An epoch's record a line."""

    def attach(self, run: Run) -> None:
        import json

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
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=self.out,
            transient=True,
            disable=not self.out.is_terminal,
        )
        self.task = self.bar.add_task("", total=run.trainer.steps, epoch="", said="")
        self.seconds = 0.0

    def attach(self, run: Run) -> None:
        trainer = run.trainer
        click.echo(_headline(run))
        for note in run.notes:
            click.echo(f"note: {note}")
        for record in trainer.result.epochs:
            click.echo(_epoch_line(record))
        trainer.on_step, trainer.on_epoch = self.step, self.epoch

    def __enter__(self) -> None:
        self.bar.start()

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def step(self, moment: Moment) -> None:
        said = f"loss {moment.mean_loss:.4f}"
        if moment.accuracy is not None:
            said += f", accuracy {moment.accuracy:.2%}".replace("%", " %")
        if moment.seconds > 0:
            said += f", {moment.samples / moment.seconds:,.0f} samples/s"
        epoch = f"{moment.epoch}/{self.run.trainer.settings.epochs}"
        self.bar.update(self.task, completed=moment.step, total=moment.steps, epoch=epoch, said=said)

    def epoch(self, record: dict[str, Any]) -> None:
        self.bar.console.print(_epoch_line(record), soft_wrap=True)


def _headline(run: Run) -> str:
    trainer = run.trainer
    s, model = trainer.settings, trainer.model
    processes = f" in {model.processes} processes" if model.processes > 1 else ""
    held_out = f", {trainer.validation.n:,} held out" if trainer.validation is not None else ""
    return (
        f"{run.spec.name} on {trainer.dataset.name}: {trainer.train.n:,} samples{held_out}, {s.epochs} epochs of "
        f"{trainer.steps} steps of {s.batch}; {s.optimizer.kind}, learning rate {s.optimizer.learning_rate:g}; "
        f"{run.backend} on {model.device}, {model.dtype}{processes}; {trainer.folder}"
    )


def _epoch_line(record: dict[str, Any]) -> str:
    parts = [f"loss {record['loss']:.4f}"]
    if record["accuracy"] is not None:
        parts.append(f"accuracy {record['accuracy']:.2%}")
    for name in ("validation", "test"):
        if f"{name}_loss" in record:
            accuracy = record[f"{name}_accuracy"]
            loss = f"loss {record[f'{name}_loss']:.4f}"
            parts.append(f"{name} " + (f"{accuracy:.2%}" if accuracy is not None else loss))
    parts.append(f"{record['samples_per_second']:,.0f} samples/s")
    return f"epoch {record['epoch']:>3}  {', '.join(parts)}".replace("%", " %")


def _print_end(run: Run, result: Any) -> None:
    trainer = run.trainer
    if result.test is not None:
        share = result.test.accuracy
        accuracy = f"accuracy {share:.2%}, ".replace("%", " %") if share is not None else ""
        which = f"epoch {result.best_epoch}, the best" if trainer.validation is not None else "the last epoch"
        click.echo(f"test: {accuracy}loss {result.test.loss:.4f} on {result.test.samples:,} samples ({which})")
    if trainer.folder is not None:
        best = "best" if trainer.validation is not None else "last"
        click.echo(f"weights: {trainer.folder / f'{best}.safetensors'}")
