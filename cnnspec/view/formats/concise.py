"""One line for each diagnostic, as compilers print them, which editors and scripts recognise."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.language.project.checking import Checked
from cnnspec.view.formats.places import one_line, relative, unique


def render(checked: Sequence[Checked]) -> str:
    """Return `file:line:column: error[code] message` for each diagnostic."""
    lines = []
    for d in unique(checked):
        span = d.label.span
        place = f"{relative(span.source.name)}:{span.line}:{span.column}"
        lines.append(f"{place}: {d.severity}[{d.code}] {one_line(d)}\n")
    return "".join(lines)
