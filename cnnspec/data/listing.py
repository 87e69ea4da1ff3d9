"""What a source of files lists: the images and the columns of its parts, before a network is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnspec.data.pictures import Files, Pictures
from cnnspec.errors import DataError
from cnnspec.wording import names, nearest

TRAIN, TEST, VALIDATION = "train", "test", "validation"
PARTS = {TRAIN: (TRAIN,), TEST: (TEST,), VALIDATION: (VALIDATION, "val", "valid")}
"""The parts of a dataset, each with the names that folders, files and columns call it."""
IMAGE_COLUMNS = ("path", "file", "filename", "file_name", "image", "img")
TARGET_COLUMNS = ("label", "labels", "class", "target", "category")

Column = Sequence[Any] | Pictures
"""A value for each sample, or an image for each."""


@dataclass(frozen=True)
class Listing:
    """One part of a source: an image and a value of each column for each sample."""

    name: str
    """Its name in messages."""
    pictures: Pictures
    columns: Mapping[str, Column]
    where: Callable[[int], str]
    """Returns the place of a sample for messages: its file, or its line in a table."""
    picture_of: Callable[[str, Sequence[Any]], Pictures] | None = None
    """Opens the images that the paths of a column lead to; None where columns hold no paths."""

    def cells(self, column: str) -> Sequence[Any]:
        """Return the values of a column; raise DataError where it holds images."""
        found = self.columns[column]
        if not isinstance(found, Sequence):
            raise DataError(f"`{self.name}`: the column `{column}` holds images, and not values")
        return found

    def pictures_in(self, column: str) -> Pictures | None:
        """Return the images of a column: those that it holds, or that its paths lead to; None where it has no paths."""
        found = self.columns[column]
        if not isinstance(found, Sequence):
            return found
        return self.picture_of(column, found) if self.picture_of is not None else None


@dataclass(frozen=True)
class Source:
    """A dataset of files."""

    kind: str
    """What it is, in words: `class folders`, `a table`, …"""
    parts: Mapping[str, Listing]
    """The listings of `train`, `test` and `validation`, as far as there are any."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of the classes of the columns that have some of their own, in the order of their indices."""
    notes: tuple[str, ...] = ()


def part_of(name: str) -> str | None:
    """Return the part that a name stands for, None for any other name."""
    return next((part for part, known in PARTS.items() if name.lower() in known), None)


def files_of(paths: Sequence[str], name: str, columns: Mapping[str, Column]) -> Listing:
    """Return the listing of image files in folders."""
    found = Files(paths)
    return Listing(name, found, columns, lambda index: f"`{found.name(index)}`")


def column(columns: Mapping[str, Any], wanted: str | None, usual: Sequence[str], name: str, what: str, key: str) -> str:
    """Return the name of a column: the one that is wanted, or the first usual one; raise DataError for none.

    `what` the column holds and the `key` of the setting that names it are for the message.
    """
    if wanted is not None:
        if wanted in columns:
            return wanted
        near = nearest(wanted, columns)
        hint = f"did you mean `{near}`?" if near else f"it has {names(list(columns))}"
        raise DataError(f"`{name}` has no column `{wanted}`: {hint}")
    folded = {known.strip().lower(): known for known in reversed(list(columns))}
    for one in usual:
        if one in folded:
            return folded[one]
    raise DataError(
        f"`{name}` has the columns {names(list(columns))}; which one holds {what}? Say so in `train:` with "
        f"`columns: {{{key}: …}}`"
    )
