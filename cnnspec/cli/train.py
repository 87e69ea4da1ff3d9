"""`cnnspec train`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cnnspec.cli.common import (
    format_option,
    given_options,
    packed,
    painter,
    params_option,
    parse_values,
    print_lines,
    show,
    text_width,
)
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import data_options, execution_options, weights_option
from cnnspec.cli.training_output import Bar, JsonProgress, print_end, print_result
from cnnspec.data.options import DataOptions
from cnnspec.graph.training import LOSSES, OPTIMIZERS, SCHEDULES
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.repeats import repeated, spread
from cnnspec.training.result import Interrupted, Result
from cnnspec.training.run import Run, new_folder, resume_run, settings_for, start_run
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import table_lines
from cnnspec.wording import one_of


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
    further: tuple[str, ...],
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
    found = {name: value for name, value in given.items() if value is not None}
    for text in further:
        for name, value in parse_values("--setting", (text,), mappings=True).items():
            if name in found:
                raise click.UsageError(f"the setting `{name}` is given twice")
            found[name] = value
    return found, learning_rate


training_options = packed(
    "training",
    _settings,
    click.option("--epochs", type=click.IntRange(1), help="Number of epochs."),
    click.option("--batch", type=click.IntRange(1), help="Samples in a batch."),
    click.option("--loss", metavar="LOSS", help=f"{one_of([*LOSSES])}, as in a spec: `{{huber: 0.5}}`."),
    click.option("--augment", metavar="TRANSFORMS", help="Augmentation, as in a spec: `[shift: 2, flip: horizontal]`."),
    click.option("--optimizer", metavar="OPTIMIZER", help=f"{one_of([*OPTIMIZERS])}, as in a spec: `{{adam: 0.001}}`."),
    click.option("--learning-rate", "--lr", type=float, help="Learning rate of the optimizer."),
    click.option("--schedule", metavar="SCHEDULE", help=f"{one_of([*SCHEDULES])}, as in a spec: `{{cosine: 0.1}}`."),
    click.option("--validation", type=float, help="Fraction of the training data to hold out."),
    click.option("--monitor", metavar="METRIC", help="What chooses the best epoch: validation_loss, …"),
    click.option("--early-stopping", type=click.IntRange(1), help="Epochs without improvement after which to end."),
    click.option(
        "--setting",
        "further",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any other setting of `train:`, as in a spec: clip=1, ema=0.999, accumulate=4, mixup=0.2.",
    ),
    click.option("--start", metavar="FILE", help="Weights to start from by name, as --weights takes them."),
    click.option("--replace", multiple=True, metavar="LAYERS", help="Layers that begin anew in place of --start's."),
    click.option(
        "--freeze", multiple=True, metavar="LAYERS", help="Layers that stay as they are: `stage1`, `*.conv1`."
    ),
    click.option("--rate", "rates", multiple=True, metavar="LAYERS=FACTOR", help="Factor of the learning rate."),
)
"""Settings in place of those of the spec's `train:` section; the command gets `training`."""


@click.command("train")
@click.argument("spec", required=False, shell_complete=complete_spec)
@data_options
@training_options
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run; by default runs/NAME-1, -2, …"
)
@click.option(
    "--resume", type=click.Path(path_type=Path, file_okay=False), metavar="RUN", help="Continue the run in this folder."
)
@click.option("--runs", type=click.IntRange(2), help="Train that often, with seeds one after the other.")
@click.option("--log", "logs", multiple=True, metavar="LOG", help="Also write a log: csv or tensorboard.")
@click.option(
    "--record", "recordings", multiple=True, metavar="WHAT", help="Record of each epoch: histograms (for reports)."
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
    runs: int | None,
    logs: tuple[str, ...],
    recordings: tuple[str, ...],
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

    --runs trains several times into folders seed-N of the run's folder, and prints the mean and the deviation of each
    metric; the same command continues where it was interrupted.
    """
    given, learning_rate = training
    written: dict[str, Any] = {"logs": logs, "recordings": recordings}
    if resume is not None:
        if spec is not None:
            raise click.UsageError("a resumed run has its own spec: give --resume RUN without a SPEC")
        if ignored := [option for option in given_options() if option not in _WITH_RESUME]:
            raise click.UsageError(f"a resumed run has its own settings: leave out {', '.join(ignored)}")
        opened: AbstractContextManager[Run] = resume_run(resume, data, epochs=given.get("epochs"), **written)
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

        def start(seed: int, folder: Path | None) -> AbstractContextManager[Run]:
            seeded = settings.model_copy(update={"seed": seed})
            return start_run(loaded, seeded, execution, data, weights=weights, folder=folder, **written)

        if runs is not None:
            folder = out or new_folder(None, loaded.name)
            opened_runs = repeated(folder, settings.seed, runs, start, lambda _, own: resume_run(own, data, **written))
            _train_repeatedly(opened_runs, folder, output_format)
            return
        opened = start(settings.seed, out)
    with _stop_on_interrupt() as stop, opened as run:
        _train(run, stop, output_format)


def _train_repeatedly(runs: Iterable[AbstractContextManager[Run]], folder: Path, output_format: str) -> None:
    """Train each run, and print the mean and the deviation of its metrics."""
    results, prints = [], True
    with _stop_on_interrupt() as stop:
        for opened in runs:
            with opened as run:
                results.append(_train(run, stop, output_format))
                prints = run.trainer.model.process == 0
    found = spread(results)
    if not prints:
        return
    if output_format == "json":
        values = {name: {"mean": s.mean, "deviation": s.deviation, "runs": s.values} for name, s in found.items()}
        click.echo(json.dumps({"runs": values}))
        return
    columns = {
        "metric": list(found),
        "mean": [f"{s.mean:.4f}" for s in found.values()],
        "deviation": [f"{s.deviation:.4f}" for s in found.values()],
        "least": [f"{min(s.values):.4f}" for s in found.values()],
        "most": [f"{max(s.values):.4f}" for s in found.values()],
    }
    click.echo(f"\n{len(results)} runs in {folder}:\n")
    narrow = Narrow(drop=("most", "least"), names=("metric",))
    print_lines(table_lines(columns, painter(sys.stdout), ("metric",), width=text_width(), narrow=narrow))


def _train(run: Run, stop: Callable[[], bool], output_format: str) -> Result:
    """Train with progress on the terminal, or a JSON line for each epoch; only the first process prints."""
    prints = run.trainer.model.process == 0
    progress = JsonProgress() if output_format == "json" else Bar(run)
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
        (print_end if output_format == "text" else print_result)(run, result)
    return result


_WITH_RESUME = (
    "--resume",
    "--epochs",
    "--data",
    "--data-dir",
    "--no-download",
    "--workers",
    "--format",
    "--log",
    "--record",
)


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
