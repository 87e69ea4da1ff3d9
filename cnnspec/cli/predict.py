"""`cnnspec predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import console, params_option
from cnnspec.cli.completion import complete_spec
from cnnspec.cli.execution import execution_options, weights_option
from cnnspec.errors import InputError
from cnnspec.language.load import load_spec
from cnnspec.runtime.options import Execution
from cnnspec.training.prediction import BATCH, Reader, expanded, predictions, prepared
from cnnspec.training.prediction_files import FORMATS, format_of, writer


@click.command("predict")
@click.argument("spec", shell_complete=complete_spec)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--list", "listed", metavar="FILE", help="Read the names of files from this file, one a line; - for stdin."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="PATH", help="A .csv, .jsonl or .npy file, or a folder."
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Format of the predictions; by the end of PATH.")
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="Number of classes to write.")
@click.option("--batch", type=click.IntRange(1), default=BATCH, show_default=True, help="Samples in a batch.")
@click.option("--resize", is_flag=True, help="Fit images of another size or colour to the network.")
@click.option("--resume", is_flag=True, help="Continue PATH behind the predictions that are there.")
@click.option("--skip-broken", is_flag=True, help="Leave out files that cannot be read, and count them.")
@weights_option
@execution_options
@params_option
def command(
    spec: str,
    files: tuple[str, ...],
    listed: str | None,
    output: Path | None,
    kind: str | None,
    top: int,
    batch: int,
    resize: bool,
    resume: bool,
    skip_broken: bool,
    weights: str | None,
    execution: Execution,
    params: dict[str, Any],
) -> None:
    """Write the predictions of SPEC's network for any number of FILEs or folders of images.

    Classes and labels are written with their probabilities, numbers as they are; the classes of a map's positions
    become PNGs with a palette, and images PNGs, in a folder. Memory does not grow with the number of files. Ctrl-C
    keeps what is written, and --resume continues behind it.
    """
    if not files and listed is None:
        raise click.UsageError("give files, folders, or --list FILE")
    if weights is None:
        raise click.UsageError("give the trained weights: --weights FILE")
    loaded = load_spec(spec, params, resize)
    names = expanded([*files, *_listed(listed)])
    model = prepared(loaded, execution, weights, batch)
    out = writer(loaded, kind or format_of(output), output, sys.stdout, top=top, resume=resume)
    reader = Reader(names, loaded.input, skip_broken)
    count = 0
    try:
        with _progress(len(names)) as advance:
            for one in predictions(model, out.remaining(reader.samples()), batch, advance):
                out.write(one)
                count += 1
    except KeyboardInterrupt:
        hint = f"; `--resume` continues {output}" if output else ""
        click.echo(f"\nstopped after {count:,} new predictions{hint}", err=True)
        sys.exit(130)
    finally:
        out.close()
    for message in reader.broken[:10]:
        click.echo(f"skipped: {message}", err=True)
    if output is not None:
        click.echo(f"{count:,} new prediction{'s' * (count != 1)} in {output}", err=True)
    if reader.broken:
        click.echo(f"{len(reader.broken):,} file{'s' * (len(reader.broken) != 1)} skipped", err=True)


def _listed(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        with click.open_file(path, encoding="utf-8") as file:
            return [line.rstrip("\r\n") for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` cannot be read: {error}") from error


@contextmanager
def _progress(files: int) -> Iterator[Callable[[int], None]]:
    """Show a bar over the files on a terminal's standard error; yields the function that advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    out = console(sys.stderr)
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=files)
        yield lambda n: bar.advance(task, n)
