"""To be deleted when the room `diagram` is there."""

from __future__ import annotations

from html import escape

from cnnspec.graph.graph import Graph


def fragment(graph: Graph) -> str:
    """Return a list of the layers as an svg."""
    rows = [
        f'<g class="layer" data-name="{escape(n.name)}" role="button" tabindex="0" aria-label="{escape(n.name)}">'
        f'<text x="4" y="{20 + 20 * i}">{escape(n.name)} {"×".join(map(str, n.shape))}</text></g>'
        for i, n in enumerate(graph.nodes)
    ]
    return f'<svg viewBox="0 0 400 {20 * len(rows) + 20}" width="400">{"".join(rows)}</svg>'


def stylesheet() -> str:
    """Return the palette."""
    light = "--paper:#fff;--ink:#1b1f24;--muted:#57606a;--line:#d0d7de;--accent:#0072b2;--conv:#0072b2;--pool:#b35900;"
    light += "--norm:#7a5195;--activation:#b3003c;--dense:#00735c;--merge:#8a6d00;--shape:#57606a;--other:#57606a;"
    dark = (
        "--paper:#14171c;--ink:#e6e9ee;--muted:#a0a8b4;--line:#3a414c;--accent:#56b4e9;--conv:#56b4e9;--pool:#e69f00;"
    )
    dark += "--norm:#cc99dd;--activation:#ff8899;--dense:#2fc99a;--merge:#f0e442;--shape:#a0a8b4;--other:#a0a8b4;"
    return (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f":root[data-theme=light]{{{light}}}:root[data-theme=dark]{{{dark}}}svg text{{fill:var(--ink)}}"
    )


def script() -> str:
    """Return nothing to run."""
    return ""
