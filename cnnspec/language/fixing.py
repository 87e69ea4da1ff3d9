"""Apply the fixes that are certain to a text, again and again until none is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.diagnostics import Fix, Source
from cnnspec.language.edits import apply
from cnnspec.language.files import read_spec
from cnnspec.language.load import Report, check

MAX_ROUNDS = 20
"""How often a text is checked again: a fix may uncover what another one mends."""


class Fixed(NamedTuple):
    """A text with fixes applied, those fixes, and the report of the check of the new text."""

    source: Source
    fixes: tuple[Fix, ...]
    report: Report


def fix(spec: str | Path | Source, *, params: Mapping[str, Any] | None = None) -> Fixed:
    """Return the text of a spec with every fix applied that cannot change what its author means.

    Only the spec's own text changes, not those that it extends, and nothing is written. Raise SpecError where the text
    cannot be read.
    """
    source = read_spec(spec)
    applied: list[Fix] = []
    report = check(source, params=params)
    for _ in range(MAX_ROUNDS):
        certain = certain_fixes(report, source)
        if not certain:
            break
        source = apply(source, [edit for found in certain for edit in found.edits])
        applied += certain
        report = check(source, params=params)
    return Fixed(source, tuple(applied), report)


def certain_fixes(report: Report, source: Source) -> list[Fix]:
    """Return the fixes of a report that are certain and about this text alone; of those that overlap, the first."""
    found: list[Fix] = []
    taken: list[tuple[int, int]] = []
    for diagnostic in report.diagnostics:
        for candidate in diagnostic.fixes[:1]:
            ranges = [edit.span.range for edit in candidate.edits if edit.span.source == source]
            free = all(end <= start or last <= first for first, end in ranges for start, last in taken)
            if candidate.certain and len(ranges) == len(candidate.edits) and free:
                found.append(candidate)
                taken += ranges
    return found
