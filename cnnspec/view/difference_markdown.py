"""The difference of two specs as Markdown for a pull request, in the dialect that GitHub and GitLab render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnspec.graph.difference import Difference
from cnnspec.view.difference import (
    MARKS,
    MOST_LINES,
    Line,
    consequences,
    headline,
    lines_of,
    listed,
    title,
    totals,
    value_text,
)

OPEN = 12
"""The most lines of layers that are shown unfolded."""


def difference_markdown(difference: Difference) -> list[str]:
    """Return the lines: totals, settings, and the layers, of which a long list is folded."""
    lines = [f"### {_escaped(title(difference))}", "", f"**{headline(difference)}**"]
    if difference.is_empty:
        return lines
    lines += ["", *_table(totals(difference), left=1)]
    if difference.settings:
        columns = {
            "setting": [_code(name) for name in difference.settings],
            "before": [_code(value_text(change.before)) for change in difference.settings.values()],
            "after": [_code(value_text(change.after)) for change in difference.settings.values()],
        }
        lines += ["", *_table(columns, left=3)]
    if changes := listed(difference):
        found = lines_of(changes, each=len(changes) <= MOST_LINES)
        lines += ["", *_folded("The layers", _layers(found), is_open=len(found) <= OPEN)]
        if len(found) < len(changes):
            lines += ["", *_folded(f"Each of the {len(changes)} layers", _layers(lines_of(changes, each=True)))]
    if others := consequences(difference):
        lines += ["", *(f"- {_escaped(text)}" for text in others)]
    return lines


def _layers(lines: Sequence[Line]) -> list[str]:
    columns = {
        "": [MARKS[line.kind] for line in lines],
        "layer": [_code(line.name) for line in lines],
        "before": [_escaped(line.before) for line in lines],
        "after": [_escaped(line.after) for line in lines],
        "what": ["<br>".join(map(_escaped, line.notes)) for line in lines],
        "parameters": [line.parameters for line in lines],
        "MACs": [line.macs for line in lines],
        "memory": [line.memory for line in lines],
    }
    shown = {heading: texts for heading, texts in columns.items() if any(texts)}
    return _table(shown, left=sum(heading not in ("parameters", "MACs", "memory") for heading in shown))


def _folded(summary: str, lines: Sequence[str], *, is_open: bool = False) -> list[str]:
    return [f"<details{' open' * is_open}><summary>{summary}</summary>", "", *lines, "", "</details>"]


def _table(columns: Mapping[str, Sequence[str]], left: int) -> list[str]:
    """Return a table; the columns behind the first `left` are aligned to the right."""
    rule = ["---" if i < left else "--:" for i in range(len(columns))]
    rows = zip(*columns.values(), strict=True)
    return [f"| {' | '.join(cells)} |" for cells in ([*columns], rule, *map(list, rows))]


def _code(text: str) -> str:
    """Return text in the form of code, in which a cell of a table can hold it."""
    fence = "``" if "`" in text else "`"
    padded = f" {text} " if "`" in text else text
    return f"{fence}{padded}{fence}".replace("|", "\\|") if text else ""


def _escaped(text: str) -> str:
    """Return text in which nothing is Markdown or HTML but names in backticks."""
    for mark in ("\\", "|", "<", "*", "_", "["):
        text = text.replace(mark, "&lt;" if mark == "<" else f"\\{mark}")
    return text
