"""A run on a page: curves, the confusion matrix, classes, mistakes, histograms and dead units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from cnnspec.report import pictures, plots
from cnnspec.report.assessment import Assessment, DeadUnits, Mistake
from cnnspec.report.data import ReportData, TrainingRun
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.metrics import METRICS
from cnnspec.view.metrics import CLASS_TEXTS, class_columns, value_text
from cnnspec.view.table import percent

MOST_CLASSES = 30
"""Classes up to which a confusion matrix is shown."""
MOST_ARRAYS = 24
"""Arrays whose histograms are shown: the first ones."""
MOST_DEAD = 12
"""Dead units of a layer that are listed."""
SPLITS = ("validation", "test")


class Curve(NamedTuple):
    """A plot, and its title."""

    title: str
    plot: Markup


class ConfusionCell(NamedTuple):
    """A number of a confusion matrix, and its fraction of the class, from 0 to 1."""

    samples: int
    fraction: float
    own: bool


def page_run(data: ReportData) -> dict[str, Any] | None:
    """Return what a page shows of a run; None without one."""
    run = data.run
    if run is None:
        return None
    assessment = run.assessment
    return {
        "folder": run.folder,
        "about": _about(run),
        "curves": curves(run),
        "missing": run.missing,
        "outputs": [] if assessment is None else [_output(assessment, name) for name in assessment.outputs],
        "assessment": assessment,
        "histograms": _histograms(run),
        "recorded": any(found.get("epoch") is not None for found in run.histograms),
        "left_out": max(0, len(_arrays(run)) - MOST_ARRAYS),
        "dead": [] if assessment is None else [_dead(one) for one in assessment.dead],
    }


def _about(run: TrainingRun) -> str:
    epochs = len(run.records)
    settings = run.settings
    parts = [f"{epochs} of {settings.epochs} epochs", f"batches of {settings.batch}", settings.optimizer.kind]
    parts += [f"{run.records[-1]['seconds']:,.0f} s"] if run.records else []
    return ", ".join([*parts, run.backend])


def curves(run: TrainingRun) -> list[Curve]:
    """Return the plots over epochs: the loss, the main metric of each output, and the learning rate."""
    records = run.records
    if not records:
        return []
    epochs = [record["epoch"] for record in records]

    def plot(title: str, series: plots.Series, **options: bool) -> Curve:
        return Curve(title, Markup(plots.lines(epochs, series, title, **options)))

    found = [plot("loss", _series(records, "loss"))]
    for output, values in _by_output(records).items():
        for metric in (name for name in METRICS if name != "loss"):
            series = _series(values, metric)
            if "training" in series:
                title = f"{output}: {METRICS[metric].title}" if output else METRICS[metric].title
                found.append(plot(title, series, percent=METRICS[metric].is_fraction))
    rates = [record["learning_rate"] for record in records]
    found.append(plot("learning rate", {"learning rate": rates}, from_zero=True))
    return found


def _by_output(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the metrics of each output over epochs; of one output under an empty name."""
    if "outputs" not in records[-1]:
        return {"": list(records)}
    return {name: [record["outputs"][name] for record in records] for name in records[-1]["outputs"]}


def _series(records: Sequence[Mapping[str, Any]], metric: str) -> dict[str, list[float | None]]:
    """Return a metric in training, and on the data that is evaluated after each epoch."""
    names = {"training": metric} | {split: f"{split}_{metric}" for split in SPLITS}
    found = {name: [record.get(key) for record in records] for name, key in names.items()}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _output(assessment: Assessment, name: str) -> dict[str, Any]:
    """Return the metrics, classes, confusion matrix and mistakes of an output."""
    found = assessment.outputs[name]
    classes = list(assessment.classes.get(name, ()))
    columns = class_columns(classes, found)
    mistakes = assessment.mistakes.get(name, ())
    return {
        "name": name if len(assessment.outputs) > 1 else "",
        "metrics": [(METRICS[key].title, value_text(key, value)) for key, value in found.metrics.items()],
        "columns": [(title, title not in CLASS_TEXTS) for title in columns],
        "classes": list(zip(*columns.values(), strict=True)),
        "confusion": confusion(found, classes),
        "class_names": classes,
        "too_many": found.confusion is not None and len(classes) > MOST_CLASSES,
        "mistakes": [_mistake(one, classes) for one in mistakes],
        "mistaken": assessment.mistaken.get(name, 0),
    }


def confusion(found: Evaluation, classes: Sequence[str]) -> list[tuple[str, list[ConfusionCell]]]:
    """Return the rows of a confusion matrix; none where there is none, or where it has too many classes."""
    if found.confusion is None or len(classes) > MOST_CLASSES:
        return []
    rows = []
    for i, (name, counts) in enumerate(zip(classes, found.confusion, strict=True)):
        whole = int(counts.sum()) or 1
        rows.append((name, [ConfusionCell(int(n), round(int(n) / whole, 3), i == j) for j, n in enumerate(counts)]))
    return rows


def _mistake(one: Mistake, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "index": one.index,
        "actual": classes[one.actual],
        "predicted": classes[one.predicted],
        "probability": percent(one.probability),
        "picture": None if one.picture is None else pictures.pixels_uri(one.picture),
    }


def _arrays(run: TrainingRun) -> list[str]:
    return list(run.histograms[-1]["weights"]) if run.histograms else []


def _histograms(run: TrainingRun) -> list[dict[str, Any]]:
    """Return the histograms of the first arrays, and of their gradients where these were recorded."""
    found = []
    for name in _arrays(run)[:MOST_ARRAYS]:
        last = run.histograms[-1]["weights"][name]
        plots_of = {
            part: Markup(plots.ridges([(h["epoch"], h[part][name]) for h in run.histograms], f"{name}: {part}"))
            for part in ("weights", "gradients")
            if all(name in h.get(part, {}) for h in run.histograms)
        }
        about = "" if last["mean"] is None else f"mean {last['mean']:.3g}, deviation {last['std']:.3g}"
        found.append({"name": name, "about": about.replace("-", "−"), "plots": plots_of})
    return found


def _dead(one: DeadUnits) -> dict[str, Any]:
    listed = ", ".join(map(str, one.dead[:MOST_DEAD]))
    more = f" and {len(one.dead) - MOST_DEAD} more" if len(one.dead) > MOST_DEAD else ""
    return {
        "layer": one.layer,
        "units": one.units,
        "dead": len(one.dead),
        "fraction": percent(len(one.dead) / one.units),
        "which": listed + more,
    }
