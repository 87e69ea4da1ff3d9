"""Go to definition: from a use of a name to the place that defines it, and from `extends` to the spec."""

from __future__ import annotations

from cnnspec.diagnostics import Span, SpecError
from cnnspec.lsp.analysis import Analysis
from cnnspec.lsp.names import names_of
from cnnspec.lsp.places import found_at


def definition(analysis: Analysis, offset: int) -> Span | None:
    """Return the place that defines what is at an offset; None where nothing has one."""
    if (name := names_of(analysis).at(offset)) is not None:
        return name.symbol.span
    found = found_at(analysis.root, analysis.source, offset) if analysis.root is not None else None
    if found is None or found.path != ("extends",) or found.is_key:
        return None
    try:
        base = analysis.opener(str(found.node.value), analysis.source)
    except SpecError:
        return None
    return Span(base, 1, 1, 1, 1)


def references(analysis: Analysis, offset: int) -> list[Span]:
    """Return the places of the text at which the name at an offset is written."""
    names = names_of(analysis)
    name = names.at(offset)
    if name is None:
        return []
    return [o.span for o in names.of(name.symbol) if o.span.source == analysis.source]
