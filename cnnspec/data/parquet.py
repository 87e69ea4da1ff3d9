"""Tables of images in Parquet files, as Hugging Face writes them: `image: {bytes, path}` and columns of targets.

Images are read by row groups when they are needed; the latest ones are kept, up to a limit.
"""

from __future__ import annotations

import io
import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any

from cnnspec.data.listing import IMAGE_COLUMNS, PARTS, TRAIN, Column, Listing, Source, column, part_of
from cnnspec.data.pictures import BrokenFileError
from cnnspec.errors import DataError
from cnnspec.graph.training import Columns
from cnnspec.wording import names

SUFFIX = ".parquet"
KEPT_BYTES = 1 << 28
"""The row groups that are kept in memory take at most so many bytes, or are one."""


class ParquetImages:
    """The images of a column of Parquet files."""

    def __init__(
        self, files: Sequence[str], column: str, groups: Sequence[tuple[int, int]], starts: Sequence[int]
    ) -> None:
        self.column = column
        self.n = starts[-1]
        self._files = files
        self._groups = groups
        """The file of each row group, and its number there."""
        self._starts = starts
        """The first image of each row group, and behind the last one their number."""
        self._begin()

    def _begin(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._bytes = 0
        self._open: dict[int, Any] = {}
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_kept", "_bytes", "_open", "_lock")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def name(self, index: int) -> str:
        """Return the file of an image and its row in it, counted from 0."""
        group = self._group(index)
        file = self._groups[group][0]
        first = next(start for start, (of, _) in zip(self._starts, self._groups, strict=False) if of == file)
        return f"{self._files[file]}, row {index - first}"

    @contextmanager
    def open(self, index: int) -> Iterator[IO[bytes]]:
        """Yield the stream of an image; raise BrokenFileError where the table has none for it."""
        group = self._group(index)
        content = self._rows(group)[index - self._starts[group]].as_py()
        if content is None:
            raise BrokenFileError(f"`{self.name(index)}` has no bytes in its column `{self.column}`")
        yield io.BytesIO(content)

    def _group(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1

    def _rows(self, group: int) -> Any:
        """Return the encoded images of a row group, as an array of pyarrow."""
        with self._lock:
            if group in self._kept:
                self._kept.move_to_end(group)
                return self._kept[group]
            file, number = self._groups[group]
            if file not in self._open:
                self._open[file] = _opened(self._files[file])
            try:
                chunk = self._open[file].read_row_group(number, [self.column], use_threads=False)[self.column]
            except _errors() as error:
                raise BrokenFileError(f"`{self._files[file]}` cannot be read: {error}") from error
            rows = chunk.combine_chunks()
            rows = rows.field("bytes") if _is_struct(rows.type) else rows
            self._kept[group] = rows
            self._bytes += rows.nbytes
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
            return rows


def parquet_in(root: Path) -> dict[str, list[Path]]:
    """Return the Parquet files of a directory, or of its folder `data`, by the part that is in their names."""
    found: dict[str, list[Path]] = {}
    for folder in (root, root / "data"):
        for file in sorted(folder.glob(f"*{SUFFIX}")):
            part = next((part for word in re.split(r"[^a-z]+", file.stem.lower()) if (part := part_of(word))), None)
            found.setdefault(part or "", []).append(file)
        if found:
            break
    if found and set(found) == {""}:
        return {TRAIN: found[""]}
    if "" in found:
        raise DataError(f"`{found[''][0]}` is called neither after `train` nor after `test`: rename or remove it")
    return found


def parquet(name: str, found: Mapping[str, Sequence[Path]], columns: Columns) -> Source:
    """Return the samples of Parquet files, by part."""
    if TRAIN not in found:
        raise DataError(f"`{name}` has no `*{TRAIN}*{SUFFIX}`")
    classes: dict[str, tuple[str, ...]] = {}
    listings = {}
    for part in PARTS:
        if part in found:
            listings[part] = _listing([str(file) for file in found[part]], columns, classes)
    return Source("a Parquet table", listings, classes)


def _listing(files: Sequence[str], columns: Columns, classes: dict[str, tuple[str, ...]]) -> Listing:
    tables = [_opened(file) for file in files]
    schema = tables[0].schema_arrow
    for path, other in zip(files, tables, strict=True):
        if other.schema_arrow.names != schema.names:
            raise DataError(f"`{path}` has other columns than `{files[0]}`: {names(other.schema_arrow.names)}")
    images = [field.name for field in schema if _holds_images(field.type)]
    usual = images if len(images) == 1 else [key for key in IMAGE_COLUMNS if key in images]
    image = column(dict.fromkeys(schema.names), columns.image, usual, files[0], "the images", "image")
    if image not in images:
        raise DataError(f"`{files[0]}` has no images in its column `{image}`, which is {schema.field(image).type}")
    groups = [(file, number) for file, one in enumerate(tables) for number in range(one.metadata.num_row_groups)]
    starts = [0]
    for file, number in groups:
        starts.append(starts[-1] + tables[file].metadata.row_group(number).num_rows)
    if not starts[-1]:
        raise DataError(f"`{files[0]}` holds no samples")
    others = [key for key in schema.names if key not in images]
    try:
        read = [one.read(others, use_threads=False) for one in tables]
    except _errors() as error:
        raise DataError(f"`{files[0]}` cannot be read: {error}") from error
    cells: dict[str, Column] = {key: [cell for one in read for cell in one[key].to_pylist()] for key in others}
    found = {key: ParquetImages(files, key, groups, starts) for key in images}
    classes.update({key: known for key, known in _class_names(schema).items() if key in others})
    pictures = found.pop(image)
    return Listing(files[0], pictures, cells | found, lambda index: f"`{pictures.name(index)}`")


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of the classes of the columns, which Hugging Face writes into the metadata of the schema."""
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(text)["info"]["features"] if text else {}
        found = {key: one.get("names") for key, one in features.items() if one.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {key: tuple(map(str, known)) for key, known in found.items() if isinstance(known, list)}


def _holds_images(kind: Any) -> bool:
    types = _pyarrow().types
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or (_is_struct(kind) and kind.get_field_index("bytes") >= 0)
    )


def _is_struct(kind: Any) -> bool:
    return bool(_pyarrow().types.is_struct(kind))


def _opened(file: str) -> Any:
    pyarrow = _pyarrow()
    try:
        return import_module("pyarrow.parquet").ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"`{file}` is no Parquet file that can be read: {error}") from error


def _errors() -> tuple[type[Exception], ...]:
    return (_pyarrow().ArrowException, OSError)


def _pyarrow() -> Any:
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise DataError('Parquet files need pyarrow, which is not installed: pip install "cnnspec[parquet]"') from error
