"""Networks, specs and reports in a notebook: the layers, the totals, and diagnostics."""

from __future__ import annotations

import base64
from html import escape

from cnnspec.diagnostics import format_diagnostic
from cnnspec.diagram.draw import draw
from cnnspec.diagram.palette import Theme
from cnnspec.graph.costs import Summary, summarize
from cnnspec.graph.graph import Graph
from cnnspec.graph.spec import Spec
from cnnspec.language.load import Report
from cnnspec.notebook import html
from cnnspec.notebook.forms import Forms, forms
from cnnspec.runtime.model import Model
from cnnspec.view.table import LEFT, network_columns, network_lines, totals, totals_lines
from cnnspec.wording import a_count, format_shape

MOST_ROWS = 40
"""Layers up to which the table is not folded."""


def graph(found: Graph) -> Forms:
    """Return the forms of a network."""
    summary = summarize(found)
    return forms(
        _text(found, summary), html.view(html.heading(found.name, _about(found)), *network_parts(found, summary))
    )


def spec(found: Spec) -> Forms:
    """Return the forms of a spec: its network, and the warnings about it."""
    summary = _summary(found)
    head = html.heading(found.name, _about(found.graph))
    text = _text(found.graph, summary)
    return forms(text, html.view(head, html.diagnostics(found.warnings), *network_parts(found.graph, summary)))


def report(found: Report) -> Forms:
    """Return the forms of a report: its diagnostics, and the network where there are no errors."""
    counts = [
        a_count(n, severity)
        for severity in ("error", "warning", "note")
        if (n := sum(d.severity == severity for d in found.diagnostics))
    ]
    verdict = ", ".join(["every shape fits"] * found.ok + counts)
    shown = html.diagnostics(found.diagnostics)
    lines = [f"{found.name}: {verdict}", *(format_diagnostic(d) for d in found.diagnostics)]
    if found.spec is None:
        return forms("\n\n".join(lines), html.view(html.heading(found.name, verdict), shown))
    summary = _summary(found.spec)
    graph = found.spec.graph
    text = "\n\n".join([*lines, _text(graph, summary)])
    head = html.heading(found.name, f"{verdict}; {_about(graph)}")
    return forms(text, html.view(head, shown, *network_parts(graph, summary)))


def model(found: Model) -> Forms:
    """Return the forms of a model: the network, and where it is computed."""
    summary = summarize(found.graph)
    where = f"on {found.device}, {found.dtype}"
    head = html.heading(found.graph.name, f"{type(found).__name__} {where}; {_about(found.graph)}")
    text = f"{found.graph.name} {where}\n\n{_text(found.graph, summary)}"
    return forms(text, html.view(head, *network_parts(found.graph, summary)))


def _summary(found: Spec) -> Summary:
    return summarize(found.graph, train=found.train, trained=found.trained_graph)


def _about(found: Graph) -> str:
    """Return the shapes that come in and go out, and the number of layers."""
    read = ", ".join(format_shape(found.by_name[name].shape) for name in found.inputs)
    made = ", ".join(format_shape(node.shape) for node in found.output_nodes.values())
    return f"{read} → {made}, {a_count(len(found.nodes) - len(found.inputs), 'layer')}"


def _diagram(found: Graph) -> str:
    """Return the diagram as images, one for light notebooks and one for dark ones.

    Images, since the styles and the names of elements of an SVG in the page itself would be the whole notebook's.
    """
    drawn = draw(found)
    label = escape(f"diagram of {found.name}: {drawn.picture.about}")
    themes: tuple[Theme, ...] = ("light", "dark")
    return html.scrolled(
        "".join(
            f'<img class="cs-{theme}" alt="{label}" width="{drawn.picture.width:.0f}" '
            f'src="data:image/svg+xml;base64,{base64.b64encode(drawn.svg(theme).encode()).decode("ascii")}">'
            for theme in themes
        ),
        f"diagram of {found.name}",
    )


def network_parts(found: Graph, summary: Summary) -> list[str]:
    """Return the diagram of a network, its totals, and the table of its layers."""
    columns = network_columns(found, summary.rows)
    rows = html.table(columns, LEFT, f"layers of {found.name}")
    is_open = len(found.nodes) <= MOST_ROWS
    return [
        _diagram(found),
        html.facts(totals(summary, 1), f"totals of {found.name}"),
        html.folded(a_count(len(found.nodes), "row") + " of layers", rows, is_open=is_open),
    ]


def _text(found: Graph, summary: Summary) -> str:
    lines = [*network_lines(found, summary, None, _plain), "", *totals_lines(summary, 1, None)]
    return "\n".join(lines)


def _plain(text: str, role: str) -> str:
    return text
