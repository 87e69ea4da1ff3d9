"""Pieces of HTML for a notebook: escaped, without scripts, and with styles that reach nothing outside of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape

from cnnspec.diagnostics import Diagnostic, format_diagnostic
from cnnspec.diagram.palette import PALETTES
from cnnspec.view.fitting import Columns

SCOPE = "cnnspec-view"
"""The class of the outermost element; every rule of the style sheet begins with it."""

_DARK = (
    '[data-jp-theme-light="false"]', "html[theme=dark]", "html[data-theme=dark]", "body[data-theme=dark]",
    "body.vscode-dark", "body.vscode-high-contrast",
)  # fmt: skip
"""How JupyterLab and Notebook, Colab, Sphinx and VS Code mark a page that is dark."""

_RULES = (
    ("", f"--cs-bad:#b3261e;--cs-warn:#8a5a00;--cs-curve:{PALETTES['light']['conv']}"),
    ("", "color:inherit;font-size:13px;line-height:1.45;max-width:100%;font-variant-numeric:tabular-nums"),
    ("p.cs-title", "margin:0 0 .3em;font-size:1.1em;font-weight:600"),
    ("p", "margin:.3em 0"),
    ("div.cs-wide", "overflow:auto;max-width:100%;max-height:70em"),
    ("table", "border-collapse:collapse;margin:.4em 0;border:0;font-size:12px;color:inherit"),
    ("th,td", "text-align:right;padding:.1em .7em;border:0;background:none;white-space:nowrap;color:inherit"),
    ("thead th", "border-bottom:1px solid;font-weight:600;vertical-align:bottom"),
    ("th.cs-text,td.cs-text", "text-align:left"),
    ("tbody th", "font-weight:600"),
    ("tbody tr", "background:none"),
    ("td.cs-wrap", "white-space:normal"),
    ("pre", "margin:.4em 0;padding:0;background:none;color:inherit;border:0;overflow-x:auto;font-size:12px"),
    ("summary", "cursor:pointer"),
    ("b.cs-error", "color:var(--cs-bad)"),
    ("b.cs-warning", "color:var(--cs-warn)"),
    ("figure", "margin:.6em 0;padding:0"),
    ("figure.cs-curve", "display:inline-block;margin:.4em 1.5em .4em 0"),
    ("img", "max-width:100%;height:auto;margin:.2em 0;display:block"),
    ("img.cs-pixels", "image-rendering:pixelated"),
    ("img.cs-dark", "display:none"),
    ("svg", "display:block;max-width:100%;height:auto"),
    ("polyline", "fill:none;stroke:var(--cs-curve);stroke-width:2"),
)
"""Selectors within SCOPE and their declarations; text has the notebook's own colour, whatever its theme."""
_DARK_RULES = (
    ("", f"--cs-bad:#ff8f85;--cs-warn:#e6b450;--cs-curve:{PALETTES['dark']['conv']}"),
    ("img.cs-dark", "display:block"),
    ("img.cs-light", "display:none"),
)


def view(*parts: str) -> str:
    """Return parts as one piece of HTML, with the style sheet."""
    return f'<div class="{SCOPE}"><style>{style()}</style>{"".join(parts)}</div>'


def style() -> str:
    """Return the style sheet: rules within SCOPE alone, for light notebooks and those that say that they are dark."""
    light = "".join(_rule(selectors, body, "") for selectors, body in _RULES)
    return light + "".join(_rule(selectors, body, page) for page in _DARK for selectors, body in _DARK_RULES)


def _rule(selectors: str, body: str, page: str) -> str:
    within = [" ".join(filter(None, (page, f".{SCOPE}", one))) for one in selectors.split(",")]
    return f"{','.join(within)}{{{body}}}"


def heading(text: str, about: str = "") -> str:
    """Return a heading, and a line below it."""
    return f'<p class="cs-title">{escape(text)}</p>' + (paragraph(about) if about else "")


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(columns: Columns, left: Collection[str], label: str) -> str:
    """Return a table whose rows begin with a heading; `label` is its name for screen readers.

    Columns that `left` does not name are aligned to the right.
    """
    classes = {name: ' class="cs-text"' if name in left else "" for name in columns}
    head = "".join(f'<th scope="col"{classes[name]}>{escape(name)}</th>' if name else "<td></td>" for name in columns)
    first = next(iter(columns))
    rows = []
    for texts in zip(*columns.values(), strict=True):
        cells = [
            f'<th scope="row"{classes[name]}>{escape(text)}</th>'
            if name == first
            else f"<td{classes[name]}>{escape(text)}</td>"
            for name, text in zip(columns, texts, strict=True)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    name = escape(label)
    return scrolled(f'<table aria-label="{name}">{body}</table>', label)


def scrolled(body: str, label: str) -> str:
    """Return a part that scrolls where it is larger than its place; `label` is its name for screen readers."""
    return f'<div class="cs-wide" role="group" tabindex="0" aria-label="{escape(label)}">{body}</div>'


def facts(entries: Mapping[str, str], label: str) -> str:
    """Return a table of two columns without a heading: what, and its value."""
    rows = "".join(
        f'<tr><th scope="row" class="cs-text">{escape(name)}</th><td class="cs-text cs-wrap">{escape(text)}</td></tr>'
        for name, text in entries.items()
    )
    return f'<table aria-label="{escape(label)}"><tbody>{rows}</tbody></table>'


def folded(summary: str, body: str, *, is_open: bool) -> str:
    """Return a part that can be folded."""
    return f"<details{' open' * is_open}><summary>{escape(summary)}</summary>{body}</details>"


def diagnostics(found: Iterable[Diagnostic]) -> str:
    """Return diagnostics as the terminal shows them."""
    texts = "\n\n".join(_diagnostic(one) for one in found)
    return f'<pre tabindex="0" role="group" aria-label="diagnostics">{texts}</pre>' if texts else ""


def _diagnostic(one: Diagnostic) -> str:
    """Return a diagnostic with its first word, which says how severe it is, in colour."""
    first, _, rest = format_diagnostic(one).partition(":")
    return f'<b class="cs-{one.severity}">{escape(first)}</b>:{escape(rest)}'
