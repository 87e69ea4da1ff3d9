"""The HTML of the page and of its sections. All text is escaped by the templates; `Markup` is made here alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cnnspec.diagnostics import Diagnostic, format_diagnostic
from cnnspec.diagram.draw import draw
from cnnspec.graph.costs import Row, summarize
from cnnspec.graph.spec import Spec
from cnnspec.language.load import Report
from cnnspec.live.curves import HEIGHT, LEFT, RIGHT, WIDTH, Curves
from cnnspec.live.network import MOST_BYTES, Computed
from cnnspec.sizes import size_of
from cnnspec.view.table import describe, percent, totals_lines
from cnnspec.wording import a_count, format_shape

FILES = Path(__file__).parent / "page"
"""The templates, the style sheet and the script."""
SPOKEN = 3
"""Diagnostics that a screen reader speaks at once; the others are read on the page."""
_BEGIN, _ROLE, _END = "\x02", "\x03", "\x04"
"""Around painted text, before it is escaped: diagnostics hold no control characters of a spec."""
_PAINTED = re.compile(f"{_BEGIN}([a-z]+){_ROLE}([^{_BEGIN}{_ROLE}{_END}]*){_END}")


class Layer(NamedTuple):
    """A row of the table of costs, as text."""

    name: str
    layer: str
    output: str
    parameters: str
    macs: str
    field: str
    memory: str


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "size": size_of}
    return environment


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def page(spec: str, *, has_run: bool) -> str:
    """Return the page, whose sections are empty until the first event."""
    return _render("page.html", spec=spec, has_run=has_run, most=MOST_BYTES)


def of_report(report: Report) -> dict[str, Any]:
    """Return the sections that a check renews: those of the network only where it is valid."""
    errors = sum(d.severity == "error" for d in report.diagnostics)
    found: dict[str, Any] = {
        "state": {"broken": report.spec is None, "name": report.name},
        "status": _render(
            "status.html",
            name=report.name,
            errors=errors,
            counts=_counts(report.diagnostics),
            diagnostics=report.diagnostics[:SPOKEN],
        ),
        "diagnostics": _render(
            "diagnostics.html", diagnostics=[(d.severity, d.code, painted(d)) for d in report.diagnostics]
        ),
    }
    if report.spec is not None:
        found |= {"diagram": draw(report.spec.graph).fragment(), "costs": _costs(report.spec)}
    return found


def _counts(diagnostics: Sequence[Diagnostic]) -> list[str]:
    counted = [(sum(d.severity == s for d in diagnostics), s) for s in ("error", "warning", "note")]
    return [a_count(n, severity) for n, severity in counted if n]


def painted(diagnostic: Diagnostic) -> Markup:
    """Return a diagnostic as the terminal shows it, with its roles as classes."""
    marked = format_diagnostic(diagnostic, lambda text, role: f"{_BEGIN}{role}{_ROLE}{text}{_END}" if role else text)
    return Markup(_PAINTED.sub(r'<span class="is-\1">\2</span>', str(escape(marked))))


def _costs(spec: Spec) -> str:
    summary = summarize(spec.graph, 1, train=spec.train, trained=spec.trained_graph)
    totals = [line.split(maxsplit=1) for line in totals_lines(summary, 1, None)]
    layers = [_layer(row, describe(node)) for row, node in zip(summary.rows, spec.graph.nodes, strict=True)]
    return _render("costs.html", totals=totals, layers=layers)


def _layer(row: Row, layer: str) -> Layer:
    return Layer(
        row.name,
        layer,
        format_shape(row.output),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.macs:,}" if row.macs else "",
        format_shape(row.receptive_field) if row.receptive_field else "",
        size_of(row.activation_bytes),
    )


def of_picture(found: Computed, names: Sequence[str]) -> dict[str, str]:
    """Return the sections of a picture: its maps are at these addresses."""
    return {
        "outputs": _render("outputs.html", found=found),
        "maps": _render("maps.html", maps=[*zip(found.maps, names, strict=True)]),
    }


def without_picture(picture: str = "", fault: str = "") -> dict[str, str]:
    """Return the sections of a picture where there is none, or where it cannot be computed."""
    return {"outputs": _render("no_outputs.html", picture=picture, fault=fault), "maps": ""}


def curves(found: Curves) -> str:
    """Return the section of a run."""
    frame = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT}
    return _render("curves.html", run=found.run, state=found.state, charts=found.charts, **frame)


def fault(message: str) -> str:
    """Return a message of an error."""
    return _render("fault.html", message=message)
