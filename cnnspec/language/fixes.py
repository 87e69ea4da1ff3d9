"""Try fixes: a fix is shown only where the checker finds that the edited spec is without the fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from cnnspec.diagnostics import Diagnostic, Edit, Fix, Source
from cnnspec.language.edits import apply

SHOWN = 3
"""The most fixes of one diagnostic."""
MAX_TRIALS = 100
MAX_LAYERS = 6_000
"""How many fixes are tried in one check, and how many layers in all."""

_OF_WORDS = ("unknown-kind", "unknown-layer", "unknown-param")
"""Faults behind which nothing is checked, so that a fix may uncover others."""
_OF_SHAPES = (
    "shapes-differ",
    "kernel-too-large",
    "needs-vector",
    "needs-image",
    "expectation-failed",
    "size-too-large",
)
"""Faults of a network whose mistakes may be several, one behind the other."""
MOST_FURTHER = 3
"""How many fixes of one check are tried together with those of the error behind them."""

Recheck = Callable[[dict[str, Source]], list[Diagnostic]]
"""Checks a spec with some of its texts replaced, by name; without looking for fixes."""


def with_tried_fixes(
    diagnostics: Sequence[Diagnostic], layers: int, recheck: Recheck, further: Recheck | None = None
) -> list[Diagnostic]:
    """Return the diagnostics with those of their fixes that help.

    A fix helps where the diagnostic is gone from the edited spec and no error is new. One that is certain may uncover
    further errors, which the fault hid, at other places; where a text cannot be read or a word is unknown, and all
    fixes uncover errors, the one that uncovers the fewest is kept. Where no fix of a shape makes the spec valid, one
    helps that leads to a single other error which itself has a fix: `further` checks an edited spec and tries its
    fixes. `layers` is the size of the network, which the time of a trial depends on.
    """
    budget = min(MAX_TRIALS, max(1, MAX_LAYERS // max(1, layers)))
    before = _faults(diagnostics)
    found: dict[int, Diagnostic] = {}
    further_left = MOST_FURTHER if further is not None else 0
    shown: set[tuple[Edit, ...]] = set()  # the same change is proposed once, and rather for an error
    for i, diagnostic in sorted(enumerate(diagnostics), key=lambda pair: pair[1].severity != "error"):
        kept: list[Fix] = []
        uncovering: list[tuple[int, Fix]] = []
        leading: list[Fix] = []
        all_tried = True
        for fix in diagnostic.fixes:
            if len(kept) == SHOWN or not budget or (kept and fix.is_fallback):
                all_tried = fix.is_fallback
                break
            if fix.edits in shown:
                continue
            budget -= 1
            new = _new_errors(fix, diagnostic, before, recheck)
            if new is None:
                continue
            if not new or (fix.certain and not any(_begins(d) == _begins(diagnostic) for d in new)):
                kept.append(fix)
            elif diagnostic.code == "yaml-syntax" or (diagnostic.code in _OF_WORDS and _elsewhere(fix, new)):
                uncovering.append((len(new), fix))
            elif len(new) == 1 and diagnostic.code in _OF_SHAPES and new[0].code in _OF_SHAPES:
                leading.append(fix)
        if not kept and further is not None and leading and further_left:
            tried = leading[:further_left]
            further_left -= len(tried)
            kept = _that_lead_on(tried, before, further)
        if not kept and uncovering:
            kept.append(replace(min(uncovering, key=lambda pair: pair[0])[1], if_alone=False))
        elif len(kept) == 1 and kept[0].if_alone and all_tried:
            kept[0] = replace(kept[0], certain=True)
        shown |= {fix.edits for fix in kept}
        causes = [fix.cause for fix in kept[:1] if fix.cause is not None]
        places = {cause.span for cause in causes}
        others = (label for label in diagnostic.others if label.span not in places)
        found[i] = replace(diagnostic, fixes=tuple(kept), others=(*causes, *others))
    return [found[i] for i in range(len(diagnostics))]


def _that_lead_on(fixes: Sequence[Fix], before: Counter[tuple[str, str]], further: Recheck) -> list[Fix]:
    """Return the first of the fixes behind which the errors that are new have fixes, if there is one."""
    for fix in fixes:
        new = [d for d in further(edited(fix)) if d.severity == "error" and not before[_fault(d)]]
        if all(d.fixes for d in new):
            return [fix]
    return []


def _elsewhere(fix: Fix, new: Iterable[Diagnostic]) -> bool:
    """Return whether none of the new errors is in a line that the fix changes."""
    changed = {(edit.span.source.name, edit.span.line) for edit in fix.edits}
    return all((d.label.span.source.name, d.label.span.line) not in changed for d in new)


def _new_errors(
    fix: Fix, diagnostic: Diagnostic, before: Counter[tuple[str, str]], recheck: Recheck
) -> list[Diagnostic] | None:
    """Return the errors that are new where a fix is made; None where the diagnostic is still there."""
    after = recheck(edited(fix))
    left = _faults(after)
    if left[_fault(diagnostic)] >= before[_fault(diagnostic)]:
        return None
    return [d for d in after if d.severity == "error" and left[_fault(d)] > before[_fault(d)]]


def _begins(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.label.span
    return span.source.name, span.line, span.column


def edited(*fixes: Fix) -> dict[str, Source]:
    """Return the texts that fixes change, by name."""
    edits = [edit for fix in fixes for edit in fix.edits]
    sources = {edit.span.source.name: edit.span.source for edit in edits}
    return {name: apply(source, edits) for name, source in sources.items()}


def _faults(diagnostics: Iterable[Diagnostic]) -> Counter[tuple[str, str]]:
    return Counter(map(_fault, diagnostics))


def _fault(diagnostic: Diagnostic) -> tuple[str, str]:
    """Return what stays the same of a diagnostic where edits move its place."""
    return diagnostic.code, diagnostic.message
