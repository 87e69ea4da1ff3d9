"""The diagnostics of one check as they are found: each once, and not without end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cnnspec.diagnostics import Diagnostic, Label, Span

MAX_FAULTS = 1_000


class Enough(Exception):
    """There are more faults than anybody reads; that has been said."""


@dataclass
class Findings:
    """The diagnostics of one check; a fault that is met again in the same place is said once."""

    found: list[Diagnostic] = field(default_factory=list)
    seen: dict[tuple[str, Span], int] = field(default_factory=dict)
    again: dict[int, dict[Span, None]] = field(default_factory=dict)
    """The other uses of the block in which a fault lies."""
    values: int = 0
    """How many values references have put in."""
    excused: set[str] = field(default_factory=set)
    """Codes that are not said any more, since another fault explains them."""

    def add(self, diagnostic: Diagnostic, frames: tuple[Label, ...] = ()) -> None:
        """Takes in a diagnostic, found by way of these uses of blocks; raises Enough at the last that is taken."""
        place = (diagnostic.code, diagnostic.label.span)
        if place not in self.seen:
            self.seen[place] = len(self.found)
            self.found.append(diagnostic)
            if len(self.found) == MAX_FAULTS:
                message = f"there are more than {MAX_FAULTS:,} faults, and the check ends here"
                self.found.append(Diagnostic("too-many-faults", message, Label(diagnostic.label.span)))
                raise Enough
        elif frames and frames[0].span not in [label.span for label in self.found[self.seen[place]].others]:
            self.again.setdefault(self.seen[place], {})[frames[0].span] = None

    def all(self) -> list[Diagnostic]:
        """The diagnostics, each with a note of the other ways to it."""
        return [replace(d, notes=(*d.notes, *self._ways(i))) for i, d in enumerate(self.found)]

    def _ways(self, index: int) -> tuple[str, ...]:
        places = [str(span) for span in self.again.get(index, ())]
        if not places:
            return ()
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        return (f"the same by way of {', '.join(places[:3])}{more}",)
