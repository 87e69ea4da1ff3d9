"""Names of layers that are within one another (`layer1.0.conv1`), and that count up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from cnnspec.interop.structure.entry import Entry


class Numbered(NamedTuple):
    """Names that count up: those of a round with a reference to its number, that parameter, and the first number."""

    template: tuple[str, ...]
    param: str
    first: int


def enclosing(names: Sequence[str]) -> str:
    """Return the parts that all names begin with but for their last: `layer1.0` of `layer1.0.conv1`, …"""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return ".".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))


def relative(name: str, around: str) -> str:
    """Return a name within what encloses it."""
    return name[len(around) + 1 :] if around else name


def within(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return entries with their names within what encloses all of them."""
    names = [name for entry in entries for name in entry.names]
    around = enclosing(names)
    new = iter([relative(name, around) for name in names])
    return tuple(entry.renamed(new) for entry in entries)


def numbered(rounds: Sequence[Sequence[Entry]]) -> Numbered | None:
    """Return the names of the rounds, which differ by one number that counts up; without names, an empty template.

    None where the names differ otherwise.
    """
    lists = [tuple(name for entry in entries for name in entry.names) for entries in rounds]
    if not any(lists):
        return Numbered((), "", 0)
    if len(rounds) < 2 or len({len(names) for names in lists}) > 1:
        return None
    splits = [[re.split(r"(\d+)", name) for name in names] for names in lists]
    first, second = splits[0], splits[1]
    places = {
        i for a, b in zip(first, second, strict=True) for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y
    }
    if len(places) != 1 or any(len(a) != len(b) for a, b in zip(first, second, strict=True)):
        return None
    (place,) = places
    if any(len(parts) <= place or not parts[place].isdigit() for parts in first):
        return None
    start = int(first[0][place])
    for i, names in enumerate(splits):
        for parts, model in zip(names, first, strict=True):
            if parts != [*model[:place], str(start + i), *model[place + 1 :]]:
                return None
    param = next(letter for letter in "ijkmnopqrstuvwxyz" if not any(f"${letter}" in name for name in lists[0]))
    template = tuple("".join([*parts[:place], f"${param}", *parts[place + 1 :]]) for parts in first)
    return Numbered(template, param, start)
