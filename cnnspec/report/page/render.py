"""A report as one HTML file: templates, the style, the script and the data of the page, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.diagnostics import format_diagnostic
from cnnspec.diagram import assets as diagram
from cnnspec.diagram.draw import draw
from cnnspec.report import pictures, plots
from cnnspec.report.data import ReportData
from cnnspec.report.page.layers import COLUMNS, page_layers, table_rows
from cnnspec.report.page.maps import page_maps, picture_uris
from cnnspec.report.page.sections import Sections, cost_rows, facts
from cnnspec.report.page.training import page_run
from cnnspec.sizes import size_of
from cnnspec.version import __version__
from cnnspec.view.table import percent
from cnnspec.wording import a_count, format_shape

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = Path(__file__).with_name("assets")


def render(data: ReportData) -> str:
    """Return the page; it has every picture, script and style in itself."""
    from markupsafe import Markup

    script = diagram.script() + _asset("report.js")
    graph, line = data.network.graph, data.network.timeline
    page = {
        "data": data,
        "version": __version__,
        "script": Markup(script),
        "policy": policy(script),
        "style": Markup(diagram.stylesheet() + _asset("report.css")),
        "diagram": Markup(draw(graph).fragment()),
        "sections": Sections.of(data),
        "facts": facts(data),
        "diagnostics": [(d.severity, format_diagnostic(d)) for d in data.network.diagnostics],
        "columns": COLUMNS,
        "rows": table_rows(data.network),
        "layers": page_layers(data),
        "costs": cost_rows(data.network),
        "timeline": Markup(plots.timeline(line.live, line.peak, line.names[line.peak])),
        "kernels_uri": _kernels_uri(data),
        "inputs": picture_uris(data),
        "maps": page_maps(data),
        "run": page_run(data),
    }
    return _environment().get_template("report.html.jinja").render(page)


def _environment() -> Environment:
    """Return the environment of the templates, which escape every text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": size_of,
        "percent": percent,
        "shape": format_shape,
        "count": a_count,
        "code": lambda text: Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text)))),
        "breakable": lambda name: Markup(str(escape(name)).replace(".", ".<wbr>").replace(",", ",<wbr>")),
        "asjson": lambda value: Markup(embedded(value)),
    }
    return environment


def _kernels_uri(data: ReportData) -> str:
    if data.kernels is None:
        return ""
    picture = data.kernels.picture
    if data.kernels.are_colours:
        return pictures.pixels_uri(picture, gaps=True)
    return pictures.levels_uri(picture, "RdBu_r")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def embedded(value: Any) -> str:
    """Return a value as JSON that can stand in a `<script>`: no character of it ends that, or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def policy(script: str) -> str:
    """Return the Content-Security-Policy of the page: its own script, styles and pictures, and no other resource."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
