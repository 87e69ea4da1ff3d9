"""Quick fixes: the fixes of the diagnostics in a part of a text, each of which the checker has tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnnspec.diagnostics import Diagnostic, Fix
from cnnspec.lsp.analysis import Analysis


class Action(NamedTuple):
    """A fix, the diagnostic that it removes, and whether it is the first and certain one of it."""

    diagnostic: Diagnostic
    fix: Fix
    preferred: bool


def actions(analysis: Analysis, start: int, end: int) -> Iterator[Action]:
    """Yield the fixes of the diagnostics that have a place between two offsets."""
    for diagnostic in analysis.diagnostics:
        span = diagnostic.label.span
        if span.source != analysis.source:
            continue
        first, last = span.range
        if first <= end and start <= last:
            for i, fix in enumerate(diagnostic.fixes):
                yield Action(diagnostic, fix, i == 0 and fix.certain)
