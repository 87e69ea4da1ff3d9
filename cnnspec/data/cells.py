"""Columns of values as targets: classes, labels and numbers, with the place of everything that is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.data.listing import Listing
from cnnspec.errors import DataError
from cnnspec.wording import describe, names, nearest, quoted

Parts = Mapping[str, Listing]
SEPARATORS = (";", "|")
"""What stands between the labels of a cell; spaces do in a column without them."""


def classes(
    parts: Parts, column: str, own: Sequence[str], spec: Sequence[str]
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return the class of each sample of each part, int64 [n], and the names of the classes.

    `own` are the names that the data has for its classes, `spec` those of the spec; either may be empty. Cells are the
    names of classes or, where all are numbers, indices. Without any names, they are those of the training data, sorted.
    Raises DataError for cells that are empty or no class.
    """
    cells = {part: [_text(listing, column, i) for i in range(listing.pictures.n)] for part, listing in parts.items()}
    if own:
        cells = {
            part: [_named(parts[part], column, i, cell, own) for i, cell in enumerate(some)]
            for part, some in cells.items()
        }
    every = {cell for some in cells.values() for cell in some}
    known = tuple(spec if spec and (not own or set(own) <= set(spec)) else own)
    if not (every <= set(known)) and all(_is_index(cell) for cell in every):
        return {part: np.array([int(cell) for cell in some], np.int64) for part, some in cells.items()}, known
    known = known or tuple(sorted(set(cells["train"])))
    return {part: _indices(parts[part], column, some, known) for part, some in cells.items()}, known


def _text(listing: Listing, column: str, index: int) -> str:
    cell = listing.cells(column)[index]
    if cell is None or cell == "":
        raise _fault(listing, index, column, "is empty", "give the class, or remove the row")
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise _fault(listing, index, column, f"is {describe(cell)}", "a class is a name or a whole number")
    return str(cell)


def _named(listing: Listing, column: str, index: int, cell: str, own: Sequence[str]) -> str:
    """Return the name of a class, of which a table may hold the index."""
    if cell in own or not _is_index(cell):
        return cell
    if not 0 <= int(cell) < len(own):
        raise _fault(listing, index, column, f"is {cell}", f"the classes are 0 to {len(own) - 1}, {_some(own)}")
    return own[int(cell)]


def _is_index(cell: str) -> bool:
    return bool(re.fullmatch(r"-?\d{1,9}", cell))


def _indices(listing: Listing, column: str, cells: Sequence[str], known: Sequence[str]) -> Array:
    index_of = {name: i for i, name in enumerate(known)}
    for i, cell in enumerate(cells):
        if cell not in index_of:
            raise _unknown(listing, i, column, cell, known)
    return np.array([index_of[cell] for cell in cells], np.int64)


def labels(parts: Parts, columns: Sequence[str], spec: Sequence[str]) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return which labels each sample has, float64 [n, labels] of 0 and 1, and the names of the labels.

    Several columns have 0 or 1 each, and are called as the labels; one column has the names of a sample's labels, as a
    list or separated by `;`, `|` or spaces. They are in the order of `spec`, where it names them all.
    """
    if len(columns) > 1:
        known = tuple(spec) if set(spec) == set(columns) else tuple(columns)
        return {part: np.stack([_flags(one, key) for key in known], axis=1) for part, one in parts.items()}, known
    (column,) = columns
    cells = {part: listing.cells(column) for part, listing in parts.items()}
    texts = [cell for some in cells.values() for cell in some if isinstance(cell, str)]
    separator = next((one for one in SEPARATORS if any(one in text for text in texts)), None)
    if all(_is_flag(cell) for some in cells.values() for cell in some):
        return {part: _flags(listing, column)[:, None] for part, listing in parts.items()}, (column,)
    split = {part: [label_names(cell, separator, spec) for cell in some] for part, some in cells.items()}
    for part, some in split.items():
        for i, found in enumerate(some):
            if found is None:
                raise _fault(
                    parts[part], i, column, f"is {describe(cells[part][i])}", "write names of labels, or a list"
                )
    known = tuple(spec) or tuple(sorted({label for found in split["train"] for label in found or ()}))
    return {part: _many_hot(parts[part], column, some, known) for part, some in split.items()}, known


def label_names(cell: Any, separator: str | None, known: Sequence[str] = ()) -> list[str] | None:
    """Return the labels of a cell, a list or text with a separator (None: spaces); None where it has no names."""
    if cell is None:
        return []
    if isinstance(cell, list | tuple):
        return [str(item) for item in cell] if all(isinstance(item, str | int) for item in cell) else None
    if not isinstance(cell, str):
        return None
    if separator is None and cell in known:
        return [cell]
    return [label for label in map(str.strip, cell.split(separator)) if label]


def _many_hot(listing: Listing, column: str, cells: Sequence[list[str] | None], known: Sequence[str]) -> Array:
    index_of = {name: i for i, name in enumerate(known)}
    found = np.zeros((len(cells), len(known)))
    for i, some in enumerate(cells):
        for label in some or ():
            if label not in index_of:
                raise _unknown(listing, i, column, label, known)
            found[i, index_of[label]] = 1
    return found


def _is_flag(cell: Any) -> bool:
    return isinstance(cell, bool) or (isinstance(cell, str | int | float) and str(cell) in ("0", "1", "0.0", "1.0"))


def _flags(listing: Listing, column: str) -> Array:
    cells = listing.cells(column)
    for i in range(listing.pictures.n):
        if not _is_flag(cells[i]):
            raise _fault(listing, i, column, _is(cells[i]), "a label is 0 or 1")
    return np.array([float(cell) for cell in cells])


def numbers(parts: Parts, columns: Sequence[str]) -> dict[str, Array]:
    """Return the numbers of one column or of several for each sample: float64 [n, numbers].

    One column may hold lists of numbers, all of one length.
    """
    return {part: _numbers(listing, columns) for part, listing in parts.items()}


def _numbers(listing: Listing, columns: Sequence[str]) -> Array:
    first = listing.cells(columns[0])
    if len(columns) == 1 and any(isinstance(cell, list) for cell in first):
        length = next(len(cell) for cell in first if isinstance(cell, list))
        for i, cell in enumerate(first):
            if not isinstance(cell, list) or len(cell) != length:
                raise _fault(listing, i, columns[0], f"is {describe(cell)}", f"the first one is a list of {length}")
        return np.array([[_number(listing, i, columns[0], item) for item in cell] for i, cell in enumerate(first)])
    found = [[_number(listing, i, key, cell) for i, cell in enumerate(listing.cells(key))] for key in columns]
    return np.array(found).T


def _number(listing: Listing, index: int, column: str, cell: Any) -> float:
    if not isinstance(cell, bool) and isinstance(cell, str | int | float):
        try:
            if math.isfinite(number := float(cell)):
                return number
        except (ValueError, OverflowError):
            pass
    raise _fault(listing, index, column, _is(cell), "give a finite number, with a point before the decimals")


def _is(cell: Any) -> str:
    return "is empty" if cell in (None, "") else f"is {describe(cell)}"


def _fault(listing: Listing, index: int, column: str, what: str, remedy: str) -> DataError:
    return DataError(f"{listing.where(index)}: `{column}` {what}: {remedy}")


def _unknown(listing: Listing, index: int, column: str, cell: str, known: Sequence[str]) -> DataError:
    near = nearest(cell, known)
    remedy = f"did you mean `{near}`?" if near else f"they are {_some(known)}"
    return _fault(listing, index, column, f"is {quoted(cell)}, which is none of the {len(known)} classes", remedy)


def _some(known: Iterable[str]) -> str:
    listed = list(known)
    return names(listed) if len(listed) <= 10 else ", ".join(f"`{name}`" for name in listed[:10]) + ", …"
