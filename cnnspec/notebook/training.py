"""Evaluations and results of training in a notebook: metrics, classes, the confusion matrix, and curves."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from cnnspec.notebook import html
from cnnspec.notebook.forms import Forms, forms
from cnnspec.training.evaluation import Evaluation
from cnnspec.training.metrics import METRICS
from cnnspec.training.result import Result
from cnnspec.view.curves import Curve, curve_lines, curves
from cnnspec.view.metrics import CLASS_TEXTS, MOST_CLASSES, class_columns, summary, value_text
from cnnspec.view.table import table_lines
from cnnspec.wording import a_count

_WIDTH, _HEIGHT, _EDGE = 260, 70, 4
"""The size of a curve in pixels, and what is left free around it."""


def evaluation(found: Evaluation) -> Forms:
    """Return the forms of an evaluation; classes have their numbers, as it does not know their names."""
    about = f"{found.samples:,} samples" + (f", {found.task}" if found.task else "")
    lines = [f"{summary(found)} on {about}"]
    for name, one in found.outputs.items():
        lines.append(f"{name}: {summary(one)}")
    for name, one in _by_output(found).items():
        if columns := class_columns(_numbers(one), one):
            lines += ["", *([name] if name else []), *table_lines(columns, _plain, CLASS_TEXTS)]
    return forms("\n".join(lines), html.view(html.heading("Evaluation", about), *_parts(found)))


def result(found: Result) -> Forms:
    """Return the forms of the result of a training: a curve for each figure, and the evaluation on test data."""
    ended = ", stopped early" * found.stopped_early
    best = f"; epoch {found.best_epoch} is the best" if found.best_epoch else ""
    about = a_count(len(found.epochs), "epoch") + ended + best
    drawn = "".join(_figure(name, curve) for name, curve in curves(found).items())
    text = "\n".join([about, *curve_lines(found, None)])
    parts = [html.heading("Training", about), drawn]
    if found.test is not None:
        text += f"\ntest: {summary(found.test)}"
        parts += [html.paragraph(f"on test data, {found.test.samples:,} samples:"), *_parts(found.test)]
    return forms(text, html.view(*parts))


def _by_output(found: Evaluation) -> Mapping[str, Evaluation]:
    return found.outputs or {"": found}


def _parts(found: Evaluation) -> list[str]:
    """Return the tables of an evaluation."""
    parts = [html.facts(_figures(found), "metrics")]
    for name, one in _by_output(found).items():
        if name:
            parts.append(html.heading(name) + html.facts(_figures(one), f"metrics of {name}"))
        if columns := class_columns(_numbers(one), one):
            parts.append(html.table(columns, CLASS_TEXTS, "classes"))
        if one.confusion is not None and len(one.confusion) <= MOST_CLASSES:
            parts.append(html.folded("confusion matrix", _confusion(one), is_open=False))
    return parts


def _figures(found: Evaluation) -> dict[str, str]:
    return {METRICS[name].title: value_text(name, value) for name, value in found.metrics.items()}


def _numbers(found: Evaluation) -> list[str]:
    return [str(i) for i in range(len(found.per_class()))]


def _confusion(found: Evaluation) -> str:
    """Return the confusion matrix as a table, each row shaded by the part of its samples."""
    assert found.confusion is not None
    numbers = _numbers(found)
    head = "".join(f'<th scope="col">{number}</th>' for number in numbers)
    rows = ""
    for number, row in zip(numbers, found.confusion.tolist(), strict=True):
        total = sum(row) or 1
        cells = "".join(f'<td style="background:rgba(0,114,178,{n / total / 2:.2f})">{n:,}</td>' for n in row)
        rows += f'<tr><th scope="row">{number}</th>{cells}</tr>'
    body = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return html.scrolled(body, "confusion matrix") + html.paragraph("rows: actual class; columns: predicted class")


def _figure(name: str, curve: Curve) -> str:
    """Return a curve with its first and last value."""
    low, high = min(curve.values), max(curve.values)
    step = (_WIDTH - 2 * _EDGE) / (len(curve.values) - 1)
    scale = (_HEIGHT - 2 * _EDGE) / ((high - low) or 1)
    points = " ".join(
        f"{_EDGE + i * step:.1f},{_HEIGHT - _EDGE - (value - low) * scale:.1f}" for i, value in enumerate(curve.values)
    )
    label = escape(f"{name}: {curve.ends}")
    return (
        f'<figure class="cs-curve"><svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><polyline points="{points}"/></svg>'
        f"<figcaption><b>{escape(name)}</b> {escape(curve.ends)}</figcaption></figure>"
    )


def _plain(text: str, role: str) -> str:
    return text
