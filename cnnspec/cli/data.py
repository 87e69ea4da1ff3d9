"""`cnnspec data`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cnnspec.cli.common import console, format_option, painter, parse_values, print_json, print_lines, text_width
from cnnspec.data.describe import Description, PartDescription, Progress, as_data, describe, pairs, paste
from cnnspec.language.render import flow
from cnnspec.language.train import train_settings
from cnnspec.view.fitting import Narrow
from cnnspec.view.table import percent, table_lines
from cnnspec.wording import format_shape

MOST = 10
"""How many broken files, duplicates and sizes are listed."""
IMBALANCE = 10
"""How many times as large the largest class is where that is noted."""


@click.command("data")
@click.argument("source")
@click.option(
    "--columns", metavar="NAMES", help="Columns of a table, written as in a spec: `{image: photo, target: [x, y]}`."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Directory that holds the named datasets."
)
@click.option("--no-download", is_flag=True, help="Never download a dataset.")
@format_option
def command(source: str, columns: str | None, data_dir: Path | None, no_download: bool, output_format: str) -> None:
    """Describe a dataset: counts of classes, sizes, mean and deviation, broken files, duplicates.

    SOURCE is what `cnnspec train --data` takes. Every image is decoded. The exit status is 1 where files are broken or
    masks do not fit their images.
    """
    settings = train_settings(parse_values("--columns", (f"columns={columns}",), mappings=True) if columns else {})
    with _progress() as progress:
        found = describe(
            source, columns=settings.columns, data_dir=data_dir, download=not no_download, progress=progress
        )
    if output_format == "json":
        print_json(as_data(found))
    else:
        print_lines(_lines(found))
        if (given := paste(found)) is not None:
            click.echo(f"\ninput: {flow(given)}")  # in one line, to be copied into a spec
    if any(part.broken or part.faults for part in found.parts.values()):
        sys.exit(1)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield what shows the progress on a terminal; None where there is none."""
    out = console(sys.stderr)
    if not out.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=out, transient=True
    )
    with bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(found: Description) -> Iterator[str]:
    counts = ", ".join(f"{part.samples:,} {name}" for name, part in found.parts.items())
    yield f"{found.source}: {found.kind}, {counts}"
    for column in dict.fromkeys(key for part in found.parts.values() for key in part.columns):
        yield from _column(found, column)
    for column in dict.fromkeys(key for part in found.parts.values() for key in part.masks):
        yield from _masks(found, column)
    for name, part in found.parts.items():
        yield ""
        yield from _images(name, part)
    for one, other in pairs(found.parts):
        if shared := found.shared(one, other):
            yield ""
            yield f"{len(shared):,} images are in {one} and in {other}:"
            yield from _some(f"{ours} = {theirs}" for ours, theirs in shared)


def _column(found: Description, column: str) -> Iterator[str]:
    """Yield the counts of the classes or labels of a column in each part, or the range of its numbers."""
    summaries = {name: part.columns[column] for name, part in found.parts.items() if column in part.columns}
    yield ""
    empty = sum(one.empty for one in summaries.values())
    if empty:
        yield f"{column}: {empty:,} empty cells"
    words = list(dict.fromkeys(word for one in summaries.values() for word in one.counts))
    if not words:
        for name, one in summaries.items():
            figures = (
                "" if one.range is None else " from {:g} to {:g}, mean {:g}".format(*(one.range[i] for i in (0, 2, 1)))
            )
            yield f"{column} ({name}): {one.kind}{figures}"
        return
    rows: dict[str, Sequence[str]] = {column: words}
    for name, one in summaries.items():
        total = found.parts[name].samples
        rows[name] = [f"{one.counts.get(word, 0):,}" for word in words]
        rows[f"% {name}"] = [percent(one.counts.get(word, 0) / total) for word in words]
    yield from table_lines(
        rows,
        painter(sys.stdout),
        (column,),
        width=text_width(),
        narrow=Narrow([f"% {name}" for name in reversed(summaries)], names=(), texts=(column,)),
    )
    for name, one in summaries.items():
        if one.kind == "classes" and (missing := [word for word in words if not one.counts.get(word)]):
            yield f"{name} has no sample of {', '.join(missing[:MOST])}"
        there = [count for count in one.counts.values() if count]
        if one.kind == "classes" and len(there) > 1 and max(there) >= IMBALANCE * min(there):
            factor = max(there) / min(there)
            yield f"{name} is imbalanced: the largest class has {factor:.0f} times as many samples as the smallest"


def _masks(found: Description, column: str) -> Iterator[str]:
    """Yield the share of the pixels that have each value of the masks."""
    counts = {name: part.masks[column] for name, part in found.parts.items() if column in part.masks}
    values = sorted({value for one in counts.values() for value in one})
    rows = {"class": [str(value) for value in values]}
    for name, one in counts.items():
        total = sum(one.values())
        rows[f"% of pixels, {name}"] = [percent(one[value] / total) for value in values]
    yield ""
    yield from table_lines(rows, painter(sys.stdout), ("class",), width=text_width())


def _images(name: str, part: PartDescription) -> Iterator[str]:
    yield f"{name}: {_sizes(part)}"
    for channels, images in part.channels.most_common():
        mean, std = part.colours[channels].figures()
        scale = 255 if part.are_pixels else 1
        yield (
            f"  {images:,} with {channels} channel{'s' if channels > 1 else ''}: mean "
            f"{_numbers(mean, scale)}, deviation {_numbers(std, scale)}"
        )
    for what, messages in (("broken files", part.broken), ("masks that do not fit", part.faults)):
        if messages:
            yield f"  {len(messages):,} {what}:"
            yield from _some(messages)
    if same := part.duplicates():
        yield f"  {sum(len(some) - 1 for some in same):,} duplicates:"
        yield from _some(" = ".join(some[:5]) for some in same)


def _sizes(part: PartDescription) -> str:
    if not part.sizes:
        return "no images that can be decoded"
    common, count = part.sizes.most_common(1)[0]
    if len(part.sizes) == 1:
        return f"all images are {format_shape(common)}"
    by_area = sorted(part.sizes, key=lambda size: (size[0] * size[-1], size))
    return (
        f"{len(part.sizes):,} sizes from {format_shape(by_area[0])} to {format_shape(by_area[-1])} (height × width); "
        f"{count:,} images are {format_shape(common)}"
    )


def _numbers(values: Sequence[float], scale: float) -> str:
    return " ".join(f"{value / scale:.4f}" for value in values[:MOST]) + (" …" if len(values) > MOST else "")


def _some(lines: Iterable[str]) -> Iterator[str]:
    listed: list[Any] = list(lines)
    yield from (f"    {line}" for line in listed[:MOST])
    if len(listed) > MOST:
        yield f"    and {len(listed) - MOST:,} more"
