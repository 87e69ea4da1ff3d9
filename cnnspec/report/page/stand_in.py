"""A picture of a network for the time until there is `cnnspec.diagram`: a layer in each row."""

from __future__ import annotations

from html import escape

from cnnspec.graph.graph import Graph
from cnnspec.view.table import describe
from cnnspec.wording import format_shape

_ROW = 34


def fragment(graph: Graph) -> str:
    """Return an `<svg>` with an element of the class `layer` for each layer."""
    rows = []
    for i, node in enumerate(graph.nodes):
        text = f"{node.name}: {describe(node)}, {format_shape(node.shape)}"
        rows.append(
            f'<g class="layer" data-name="{escape(node.name)}" role="button" tabindex="0" aria-label="{escape(text)}">'
            f'<rect x="1" y="{i * _ROW + 3}" width="318" height="{_ROW - 8}" rx="4"/>'
            f'<text x="12" y="{i * _ROW + 20}">{escape(text)}</text></g>'
        )
    height = len(graph.nodes) * _ROW + 4
    return f'<svg class="diagram" viewBox="0 0 320 {height}" width="320" height="{height}">{"".join(rows)}</svg>'


def stylesheet() -> str:
    """Return the colours of the page."""
    light = "--paper:#fff;--ink:#1b1f24;--muted:#57606a;--line:#d0d7de;--accent:#0072b2;--conv:#0072b2;--pool:#a3540a;"
    light += "--norm:#00664b;--activation:#8a3f75;--dense:#7a5b00;--merge:#5b4fb0;--shape:#57606a;--other:#57606a;"
    dark = (
        "--paper:#14171a;--ink:#e6e9ec;--muted:#9aa4ae;--line:#343b43;--accent:#56b4e9;--conv:#56b4e9;"
    dark += "--pool:#f0a35e;"
    )
    dark += "--norm:#3fc79a;--activation:#d99cc6;--dense:#e6c74c;--merge:#a99df0;--shape:#9aa4ae;--other:#9aa4ae;"
    return f"""
:root {{ {light} }}
@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}
:root[data-theme=light] {{ {light} }}
:root[data-theme=dark] {{ {dark} }}
.diagram .layer rect {{ fill: var(--paper); stroke: var(--conv); }}
.diagram .layer text {{ fill: var(--ink); font-size: 12px; }}
.diagram .layer {{ cursor: pointer; }}
.diagram .layer.chosen rect {{ stroke-width: 3; }}
"""


def script() -> str:
    """Return what makes the layers choosable."""
    return """
document.querySelectorAll('svg .layer').forEach(layer => {
  const choose = () => layer.dispatchEvent(
    new CustomEvent('cnnspec:layer', {bubbles: true, detail: {name: layer.dataset.name}}));
  layer.addEventListener('click', choose);
  layer.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(); }
  });
});
"""
