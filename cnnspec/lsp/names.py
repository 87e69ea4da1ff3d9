"""The names that a text uses, where each is defined, and where it is written."""

from __future__ import annotations

from functools import lru_cache

from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.bindings import bindings
from cnnspec.lsp.layer_names import layer_names
from cnnspec.lsp.places import covers
from cnnspec.lsp.positions import point_of
from cnnspec.lsp.symbols import Occurrence, Symbol


class NamesOf:
    """The names that a text uses."""

    def __init__(self, analysis: Analysis) -> None:
        self.source = analysis.source
        self.occurrences = list(dict.fromkeys([*bindings(analysis), *layer_names(analysis)]))

    def at(self, offset: int) -> Occurrence | None:
        """Return the name at an offset, the shortest where one is part of another."""
        line, column = point_of(self.source, offset)
        here = [o for o in self.occurrences if o.span.source == self.source and covers(o.span, line, column)]
        return min(here, key=lambda o: o.span.range[1] - o.span.range[0], default=None)

    def of(self, symbol: Symbol) -> list[Occurrence]:
        """Return the places at which a name is written, its definition among them if it is in this text."""
        return [o for o in self.occurrences if o.symbol == symbol]


@lru_cache(maxsize=4)
def names_of(analysis: Analysis) -> NamesOf:
    """Return the names that an analysed text uses."""
    return NamesOf(analysis)
