"""Columns of a table in the width of a terminal: which are left out, and which texts are shortened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from cnnspec.wording import cells

GAP = "  "
LEAST = 8
"""Cells that a shortened column keeps."""

Columns = Mapping[str, Sequence[str]]


class Narrow(NamedTuple):
    """How a table gives way on a terminal that it does not fit."""

    drop: Sequence[str] = ()
    """The columns that are left out, in this order, until the rest fits."""
    names: Collection[str] = ("name",)
    """The columns whose texts lose their beginning after that: the end of a name or a path says most."""
    texts: Collection[str] = ()
    """The columns whose texts lose their end."""


def widths(columns: Columns) -> dict[str, int]:
    """Return the width of each column, in terminal cells."""
    return {name: max(map(cells, [name, *texts])) for name, texts in columns.items()}


def width_of(columns: Columns) -> int:
    """Return the width of the table of these columns, in terminal cells."""
    return sum(width + len(GAP) for width in widths(columns).values()) - len(GAP)


def fitted(columns: Columns, width: int, narrow: Narrow, ellipsis: str = "…") -> Columns:
    """Return the columns so that their table is at most so wide.

    Columns are left out as `narrow` says, then its names and texts are shortened, the widest column first; where that
    is not enough, columns are left out from the right, and the first one is cut.
    """
    found = dict(columns)
    for name in narrow.drop:
        if width_of(found) > width and len(found) > 1:
            found.pop(name, None)
    found = _shortened(found, width, narrow, ellipsis)
    while width_of(found) > width and len(found) > 1:
        found.popitem()
    if width_of(found) > width:
        ((name, texts),) = found.items()
        found = {clipped(name, width, ellipsis): [clipped(text, width, ellipsis) for text in texts]}
    return found


def _shortened(
    columns: dict[str, Sequence[str]], width: int, narrow: Narrow, ellipsis: str
) -> dict[str, Sequence[str]]:
    """Return the columns with names and texts cut until the table fits, or until none can be cut further."""
    found = dict(columns)
    wide = widths(found)
    least = {name: min(wide[name], max(LEAST, cells(name))) for name in (*narrow.names, *narrow.texts) if name in wide}
    excess = width_of(found) - width
    while excess > 0 and (cut := [name for name in least if wide[name] > least[name]]):
        wide[max(cut, key=lambda name: wide[name])] -= 1
        excess -= 1
    for name in least:
        found[name] = [clipped(text, wide[name], ellipsis, start=name in narrow.names) for text in found[name]]
    return found


def clipped(text: str, width: int, ellipsis: str = "…", *, start: bool = False) -> str:
    """Return a text in at most so many cells, without its end, or (`start`) without its beginning."""
    if cells(text) <= width:
        return text
    room = max(0, width - cells(ellipsis))
    kept = ""
    for ch in reversed(text) if start else text:
        if cells(kept + ch) > room:
            break
        kept = ch + kept if start else kept + ch
    return (ellipsis + kept if start else kept.rstrip() + ellipsis) if width >= cells(ellipsis) else "." * width
