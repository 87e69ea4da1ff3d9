"""Tables of samples: CSV files and JSON lines with the path of an image and its targets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnspec.data.listing import IMAGE_COLUMNS, PARTS, TRAIN, Column, Listing, Source, column, part_of
from cnnspec.data.pictures import Files, Pictures
from cnnspec.errors import DataError
from cnnspec.graph.training import Columns
from cnnspec.wording import describe, names, quoted

SUFFIXES = (".csv", ".tsv", ".jsonl")
SPLIT = "split"
_DELIMITERS = (",", "\t", ";")
"""What may stand between the columns; the first one that the header has does."""


@dataclass(frozen=True)
class Table:
    """The cells of a file, by column."""

    path: Path
    columns: Mapping[str, list[Any]]
    """Text of a CSV file, stripped; values of JSON lines."""
    lines: list[int]
    """The line that each row begins in."""

    def where(self, row: int) -> str:
        """Return the place of a row for messages."""
        return f"`{self.path}`, line {self.lines[row]}"


def is_table(path: Path) -> bool:
    """Return whether a file is called as a table is."""
    return path.suffix.lower() in SUFFIXES


def tables_in(root: Path) -> dict[str, Path]:
    """Return the tables of a directory that are called as a part is, by part: train.csv, test.csv, …"""
    found: dict[str, Path] = {}
    for file in sorted(root.iterdir()):
        part = part_of(file.stem) if file.is_file() and is_table(file) else None
        if part is not None and part in found:
            raise DataError(f"`{root}` has `{found[part].name}` and `{file.name}`, which are the same: leave one")
        if part is not None:
            found[part] = file
    return found


def table(path: Path, columns: Columns) -> Source:
    """Return the samples of a table, in the parts that its column `split` names."""
    read = read_table(path)
    name = str(path)
    wanted = columns.split
    key = column(read.columns, wanted, (), name, "the parts", SPLIT) if wanted else _column_called(read, SPLIT)
    if key is None:
        return Source("a table", {TRAIN: _listing(read, name, range(len(read.lines)), columns)})
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(read.columns[key]):
        part = part_of(str(cell))
        if part is None:
            known = ", ".join(f"`{part}`" for part in PARTS)
            raise DataError(f"{read.where(row)}: `{key}` is {_shown(cell)}, which is no part: it is one of {known}")
        rows.setdefault(part, []).append(row)
    if TRAIN not in rows:
        raise DataError(f"`{path}` has no samples with `{TRAIN}` in its column `{key}`")
    listings = {
        part: _listing(read, f"{name} ({part})", rows[part], columns, without=key) for part in PARTS if part in rows
    }
    return Source("a table", listings)


def table_folder(root: Path, found: Mapping[str, Path], columns: Columns) -> Source:
    """Return the samples of a directory with a table for each part."""
    if TRAIN not in found:
        raise DataError(f"`{root}` has {names([path.name for path in found.values()])} and no train.csv")
    read = {part: read_table(found[part]) for part in PARTS if part in found}
    listings = {
        part: _listing(one, str(one.path), range(len(one.lines)), columns, without=_column_called(one, SPLIT))
        for part, one in read.items()
    }
    return Source("a directory of tables", listings)


def _column_called(read: Table, name: str) -> str | None:
    return next((key for key in read.columns if key.strip().lower() == name), None)


def _listing(read: Table, name: str, rows: Sequence[int], columns: Columns, *, without: str | None = None) -> Listing:
    path = str(read.path)
    image = column(read.columns, columns.image, IMAGE_COLUMNS, path, "the paths of the images", "image")
    cells: dict[str, Column] = {
        key: [found[row] for row in rows] for key, found in read.columns.items() if key not in (image, without)
    }

    def where(index: int) -> str:
        return read.where(rows[index])

    def pictures_of(key: str, values: Sequence[Any]) -> Pictures:
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise DataError(f"{where(index)}: `{key}` is {_shown(value)}, and not the path of an image")
        return Files([str(read.path.parent / value) for value in values])

    pictures = pictures_of(image, [read.columns[image][row] for row in rows])
    return Listing(name, pictures, cells, where, pictures_of)


def _shown(cell: Any) -> str:
    return "empty" if cell in (None, "") else quoted(cell) if isinstance(cell, str) else describe(cell)


def read_table(path: Path) -> Table:
    """Return the cells of a CSV file or of JSON lines; raise DataError, with the line, where it is neither."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"`{path}` is not text in UTF-8 ({error.reason} at byte {error.start}): save it as such"
        ) from None
    found = _json_lines(path, text) if path.suffix.lower() == ".jsonl" else _csv(path, text)
    if not found.lines:
        raise DataError(f"`{path}` holds no samples")
    return found


def _csv(path: Path, text: str) -> Table:
    lines = text.splitlines(keepends=True)
    delimiter = next((one for one in _DELIMITERS if lines and one in lines[0]), ",")
    header: list[str] = []
    rows, starts = [], []
    for line, cells in _csv_rows(path, lines, delimiter):
        if not header:
            header = cells
            if repeated := [cell for cell in header if header.count(cell) > 1]:
                raise DataError(f"`{path}`, line {line}: the column {quoted(repeated[0])} is there twice: rename one")
        elif len(cells) != len(header):
            raise DataError(
                f"`{path}`, line {line}: {len(cells)} cells, and the header has {len(header)} columns: "
                f"put cells that hold `{delimiter}` into quotes"
            )
        else:
            rows.append(cells)
            starts.append(line)
    columns = {key: [row[i] for row in rows] for i, key in enumerate(header)}
    return Table(path, columns, starts)


def _csv_rows(path: Path, lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty with the line that it begins in; cells are stripped."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in reader:
            if row and any(cell.strip() for cell in row):
                yield begins, [cell.strip() for cell in row]
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"`{path}`, line {begins}: {error}: check the quotes there") from error


def _json_lines(path: Path, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    starts = []
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            raise DataError(f"`{path}`, line {line}: is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"`{path}`, line {line}: is {describe(row)}, and not a mapping of columns to values")
        rows.append(row)
        starts.append(line)
    keys = dict.fromkeys(key for row in rows for key in row)
    return Table(path, {key: [row.get(key) for row in rows] for key in keys}, starts)
