"""The curves of a run: what its log has for each epoch, as charts in SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.errors import CnnspecError, DataError
from cnnspec.graph.training import Train
from cnnspec.training import metrics
from cnnspec.training.logs import numbers, tag
from cnnspec.training.recorded import METRICS, SETTINGS, is_run, read_records, read_run

WIDTH, HEIGHT = 280, 160
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24
"""The margins, for the numbers at the axes."""
MARKED = 40
"""Up to so many epochs have a marker each."""
LOOKS = 5
"""Colours and dashes of lines in the style sheet."""
MOST_POINTS = 500
"""Longer runs are drawn with every k-th epoch, and the last one."""
_NO_CURVES = ("epoch", "step", "seconds", "samples_per_second", "data_wait")
_SPLITS = {"train": "training"}


class Series(NamedTuple):
    """A line: what it is of, its value at each epoch, and the latest of these as text."""

    name: str
    look: int
    """Which of the looks of lines it has: the same in each chart for lines of one name."""
    values: tuple[float | None, ...]
    latest: str


class Tick(NamedTuple):
    """A number at an axis, and where it is."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart of some series over the epochs, with everything placed."""

    title: str
    series: tuple[Series, ...]
    lines: tuple[tuple[str, ...], ...]
    """The points of each series, in unbroken parts: `x,y x,y …`."""
    markers: tuple[tuple[tuple[float, float], ...], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    about: str
    """What it shows, in words."""


@dataclass(frozen=True)
class Curves:
    """The charts of a run, and how far it is."""

    run: str
    state: str
    charts: tuple[Chart, ...] = ()


def files_of(run: Path) -> set[Path]:
    """Return the files that the curves of a run come from, whether they exist or not."""
    return {Path(run).absolute() / name for name in (METRICS, SETTINGS)}


def curves_of(run: Path) -> Curves:
    """Return the curves of a run so far; raise DataError where its log cannot be read."""
    if not is_run(run):
        return Curves(str(run), "no run is there yet: `cnnspec train SPEC --out` makes it")
    try:
        records = read_records(run)
    except (OSError, ValueError) as error:
        raise DataError(f"{run / METRICS} is not what a run writes there: {error}") from error
    if not records:
        return Curves(str(run), "its first epoch is not over yet")
    every = -(-len(records) // MOST_POINTS)
    drawn = records[::-every][::-1]
    epochs = [int(record["epoch"]) for record in drawn]
    return Curves(str(run), f"epoch {epochs[-1]}{_of_all(run)}", tuple(_charts(epochs, drawn)))


def _of_all(run: Path) -> str:
    try:
        return f" of {(read_run(run).spec.train or Train()).epochs}"
    except (CnnspecError, OSError):  # the log alone is enough for the curves
        return ""


def _charts(epochs: Sequence[int], records: Sequence[Mapping[str, Any]]) -> Iterator[Chart]:
    rows = [dict(numbers(record)) for record in records]
    names = dict.fromkeys(name for row in rows for name in row if not name.startswith("skipped"))
    titled = [(*_place(name), name) for name in names if name not in _NO_CURVES]
    order = list(dict.fromkeys(title for title, _, _ in titled))
    order.sort(key=lambda title: (title != "loss", title == "learning rate"))
    titled.sort(key=lambda entry: order.index(entry[0]))
    labels = list(dict.fromkeys(label for _, label, _ in titled))
    for title, members in groupby(titled, key=lambda entry: entry[0]):
        series = []
        for _, label, name in members:
            values = tuple(_finite(row.get(name)) for row in rows)
            known = [value for value in values if value is not None]
            if known:
                series.append(Series(label, labels.index(label) % LOOKS, values, f"{known[-1]:.4g}"))
        if series:
            yield _chart(title, epochs, series)


def _place(name: str) -> tuple[str, str]:
    """Return the chart that a number of a record belongs to, and what its line is called there."""
    *split, metric = tag(name).split("/")
    title = metrics.METRICS[metric].title if metric in metrics.METRICS else metric.replace("_", " ")
    return title, " ".join(_SPLITS.get(part, part) for part in split)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _chart(title: str, epochs: Sequence[int], series: Sequence[Series]) -> Chart:
    known = [value for one in series for value in one.values if value is not None]
    low, high, step = _range(min(known), max(known))
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def x(epoch: float) -> float:
        return round(LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    lines, markers = [], []
    for one in series:
        points = [(x(e), y(v)) if v is not None else None for e, v in zip(epochs, one.values, strict=True)]
        parts = [list(group) for there, group in groupby(points, key=lambda p: p is not None) if there]
        lines.append(tuple(" ".join(f"{p[0]},{p[1]}" for p in part if p) for part in parts))
        markers.append(tuple(p for p in points if p) if len(epochs) <= MARKED else ())
    between = max(1, math.ceil((last - first) / 5))
    x_ticks = tuple(Tick(x(epoch), str(epoch)) for epoch in range(first, last + 1, between))
    count = round((high - low) / step)
    y_ticks = tuple(Tick(y(low + i * step), f"{low + i * step:.4g}") for i in range(count + 1))
    latest = ", ".join(f"{one.name} {one.latest}" for one in series)
    about = f"{title}, epochs {epochs[0]} to {epochs[-1]}; latest: {latest}"
    return Chart(title, tuple(series), tuple(lines), tuple(markers), x_ticks, y_ticks, about)


def _range(least: float, most: float) -> tuple[float, float, float]:
    """Return round numbers around a range, and the step of the numbers at the axis: at most six of them."""
    if most - least < 1e-12 * max(abs(least), abs(most), 1e-300):
        spread = abs(most) / 2 or 1.0
        least, most = least - spread, most + spread
    rough = (most - least) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return math.floor(least / step) * step, math.ceil(most / step) * step, step
