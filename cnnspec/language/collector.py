"""The diagnostics of one check as they are found: each once, and not without end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cnnspec.diagnostics import Diagnostic, Fix, Label, Span

MAX_DIAGNOSTICS = 1_000


class TooManyDiagnostics(Exception):
    """The limit of diagnostics is reached; the last one reports that."""


@dataclass
class DiagnosticCollector:
    """The diagnostics of one check; one that is found again at the same place is kept once."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    proposes_fixes: bool = True
    """Whether fixes are looked for: not while one is being tried."""
    suppressed_codes: set[str] = field(default_factory=set)
    """Codes that are not reported any more, since an earlier error explains them."""
    _index: dict[tuple[str, Span], int] = field(default_factory=dict)
    _other_uses: dict[int, dict[Span, None]] = field(default_factory=dict)
    """For a diagnostic inside a block, the places of the other uses of the block that lead to it."""

    def add(self, diagnostic: Diagnostic, stack: tuple[Label, ...] = ()) -> None:
        """Add a diagnostic that is found while `stack` is expanded; raise TooManyDiagnostics at the limit."""
        if diagnostic.code in self.suppressed_codes:
            return
        key = (diagnostic.code, diagnostic.label.span)
        if key not in self._index:
            self._index[key] = len(self.diagnostics)
            self.diagnostics.append(diagnostic)
            if len(self.diagnostics) == MAX_DIAGNOSTICS:
                message = f"there are more than {MAX_DIAGNOSTICS:,} errors and warnings, and the check ends here"
                self.diagnostics.append(Diagnostic("too-many-faults", message, Label(diagnostic.label.span)))
                raise TooManyDiagnostics
            return
        index = self._index[key]
        if stack and stack[0].span not in [label.span for label in self.diagnostics[index].others]:
            self._other_uses.setdefault(index, {})[stack[0].span] = None

    def explain(self, code: str, span: Span, notes: Sequence[str], fixes: tuple[Fix, ...]) -> None:
        """Add notes and fixes to the diagnostic of that code at that place, if there is one; the notes come first.

        What two shapes differ in is left out where notes show how they came about.
        """
        index = self._index.get((code, span))
        if index is not None:
            found = self.diagnostics[index]
            proposed = tuple(dict.fromkeys((*fixes, *found.fixes))) if self.proposes_fixes else ()
            own = found.notes[-1:] if notes and code == "shapes-differ" else found.notes
            self.diagnostics[index] = replace(found, notes=(*notes, *own), fixes=proposed)

    def all(self) -> list[Diagnostic]:
        """Return the diagnostics; those inside a block have a note that lists its other uses."""
        return [replace(d, notes=(*d.notes, *self._other_uses_of(i))) for i, d in enumerate(self.diagnostics)]

    def _other_uses_of(self, index: int) -> tuple[str, ...]:
        places = [str(span) for span in self._other_uses.get(index, ())]
        if not places:
            return ()
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        return (f"also reached from {', '.join(places[:3])}{more}",)
