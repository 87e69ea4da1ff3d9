"""Quick fixes: the fixes of the diagnostics in a part of a text, each of which the checker has tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnnspec.diagnostics import Diagnostic, Edit, Span
from cnnspec.language.fixing import certain_fixes
from cnnspec.language.ignore import MARK
from cnnspec.language.load import Report
from cnnspec.lsp.analysis import Analysis


class Action(NamedTuple):
    """A change of the text, the diagnostic that it removes, and whether it is certain."""

    title: str
    edits: tuple[Edit, ...]
    diagnostic: Diagnostic
    certain: bool


def actions(analysis: Analysis, start: int, end: int) -> Iterator[Action]:
    """Yield the fixes of the diagnostics between two offsets, and for warnings and notes a comment that silences it."""
    for diagnostic in analysis.diagnostics:
        span = diagnostic.label.span
        if span.source != analysis.source:
            continue
        first, last = span.range
        if first <= end and start <= last:
            for fix in diagnostic.fixes:
                yield Action(fix.title, fix.edits, diagnostic, fix.certain)
            if diagnostic.severity != "error":
                edit = Edit(_end_of_line(span), f"  # {MARK}[{diagnostic.code}]")
                yield Action(f"ignore `{diagnostic.code}` in this line", (edit,), diagnostic, False)


def _end_of_line(span: Span) -> Span:
    column = len(span.source.lines[span.line - 1].rstrip()) + 1
    return Span(span.source, span.line, column, span.line, column)


def all_certain(analysis: Analysis) -> list[Edit]:
    """Return the edits of every fix that is certain, as `cnnspec check --fix` applies them."""
    report = Report("", None, tuple(analysis.diagnostics))
    return [edit for fix in certain_fixes(report, analysis.source) for edit in fix.edits]
