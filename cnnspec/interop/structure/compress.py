"""What repeats in a list of entries as blocks with parameters and as repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnnspec.interop.naming import free
from cnnspec.interop.structure.entry import Entry, Value
from cnnspec.interop.structure.numbering import enclosing, numbered, relative, within
from cnnspec.interop.structure.unify import Reference, shape_of, unified
from cnnspec.layers import LAYERS
from cnnspec.layers.activation import Activation
from cnnspec.layers.norm import Norm

LONGEST = 12
"""The longest sequence of entries that becomes a block."""
MOST_PARAMS = 6
"""The most parameters of a block."""
MOST_LISTS = 4
"""The most lists of values of a repeat."""
LEAST_LINES = 3
"""The fewest lines that a block has."""


@dataclass
class Block:
    """A block: its parameters with the types of their values, and its layers."""

    params: dict[str, str]
    entries: tuple[Entry, ...]


@dataclass
class Structure:
    """A network as blocks and a list of entries."""

    entries: tuple[Entry, ...]
    blocks: dict[str, Block] = field(default_factory=dict)


def compressed(entries: Sequence[Entry]) -> Structure:
    """Return entries with blocks for what occurs several times, and repeats for what stands side by side."""
    found = Structure(tuple(entries))
    while _extract(found):
        pass
    for block in found.blocks.values():
        block.entries = _repeated(block.entries)
    found.entries = _repeated(found.entries)
    return found


# Blocks


def _lists(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield a list and the lists inside of it."""
    yield entries
    for entry in entries:
        for _, inner in entry.lists:
            yield from _lists(inner)


class Place(NamedTuple):
    """Where a sequence of entries stands: the list, and the first and the last of its entries."""

    entries: Sequence[Entry]
    first: int
    end: int

    @property
    def content(self) -> Sequence[Entry]:
        """The entries."""
        return self.entries[self.first : self.end]

    @property
    def around(self) -> str:
        """What encloses the names of its layers, and becomes the name of a block in its place."""
        return enclosing([name for entry in self.content for name in entry.names])


def _extract(structure: Structure) -> bool:
    """Make a block of the sequence of entries that shortens the text most; return whether there is one."""
    best, most = [], 0
    for found in _candidates(structure).values():
        first = found[0].content
        lines = sum(entry.lines for entry in first)
        saved = (len(found) - 1) * (lines - 1) - 4 - (4 * len(found) if _is_activation(first[0]) else 0)
        if lines < LEAST_LINES or len(found) < 2 or saved <= most:
            continue
        if len(unified([place.content for place in found]).params) <= MOST_PARAMS:
            best, most = found, saved
    if not best:
        return False
    name = _name(best[0].content, structure.blocks)
    common = unified([place.content for place in best])
    uses: dict[tuple[int, int], tuple[int, Entry]] = {}
    for use, place in enumerate(best):
        fields = tuple((param, values[use]) for param, values in common.params.items())
        around = place.around
        # Where nothing encloses the names of its layers, these are not within it: it stays where it is.
        is_fixed = not around and any(entry.names for entry in place.content)
        entry = Entry(name, fields, arrives=place.content[0].arrives, fixed=is_fixed, name=around)
        uses[id(place.entries), place.first] = (place.end, entry)

    def replaced(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        result: list[Entry] = []
        i = 0
        while i < len(entries):
            if (id(entries), i) in uses:
                i, entry = uses[id(entries), i]
                result.append(entry)
            else:
                result.append(entries[i].with_lists((key, replaced(inner)) for key, inner in entries[i].lists))
                i += 1
        return tuple(result)

    structure.entries = replaced(structure.entries)
    for block in structure.blocks.values():
        block.entries = replaced(block.entries)
    params = {param: _type(values) for param, values in common.params.items()}
    structure.blocks = {name: Block(params, within(common.entries)), **structure.blocks}
    return True


def _candidates(structure: Structure) -> dict[Any, list[Place]]:
    """Return the places of sequences that may become a block, by what they have in common."""
    found: dict[Any, list[Place]] = defaultdict(list)
    used: set[tuple[Any, int, str]] = set()
    homes = [structure.entries, *(block.entries for block in structure.blocks.values())]
    for home, entries_of_home in enumerate(homes):
        taken = {name for entry in entries_of_home for name in entry.names}
        for entries in _lists(entries_of_home):
            parts = [Part(shape_of([entry]), entry.names) for entry in entries]
            ends: dict[Any, int] = {}
            for first in range(len(entries)):
                for end in range(first + 1, min(len(entries), first + LONGEST) + 1):
                    if entries[end - 1].all_fixed:
                        break
                    if entries[first].kind in structure.blocks or entries[end - 1].kind in structure.blocks:
                        continue  # a use at an edge is better left to a repeat
                    key = _key(parts[first:end])
                    if _is_periodic(key) or ends.get(key, 0) > first:
                        continue  # it is a repeat of something shorter, or overlaps the one before
                    if _has_units(key):
                        continue  # it is better left to a repeat
                    place = Place(entries, first, end)
                    around = place.around
                    if around and (around in taken or (key, home, around) in used):
                        continue  # a use of a block is called so
                    used.add((key, home, around))
                    ends[key] = end
                    found[key].append(place)
    return found


class Part(NamedTuple):
    """An entry but for its numbers, and the names in it."""

    shape: Any
    names: tuple[str, ...]


def _key(parts: Sequence[Part]) -> tuple[Any, ...]:
    """Return what parts are but for numbers and for what encloses their names: equal ones can be one block."""
    around = enclosing([name for part in parts for name in part.names])
    return tuple((part.shape, tuple(relative(name, around) for name in part.names)) for part in parts)


def _has_units(key: tuple[Any, ...]) -> bool:
    """Whether names are within several numbered parts, `0.conv1` and `1.conv1`."""
    names = (name.partition(".") for _, relatives in key for name in relatives)
    return len({unit for unit, dot, _ in names if dot and unit[0].isdigit()}) > 1


def _is_periodic(key: tuple[Any, ...]) -> bool:
    """Whether a sequence is a shorter one several times."""
    return any(len(key) % n == 0 and key == key[:n] * (len(key) // n) for n in range(1, len(key) // 2 + 1))


def _is_activation(entry: Entry) -> bool:
    """Whether an entry belongs to the one before it."""
    cls = LAYERS.get(entry.kind)
    return cls is not None and issubclass(cls, Activation | Norm)


def _name(entries: Sequence[Entry], blocks: dict[str, Block]) -> str:
    """Return a name for a block, after the merge in it."""
    kinds = [entry.kind for entry in entries]
    return free(next((name for kind, name in _NAMES.items() if kind in kinds), "block"), blocks)


_NAMES = {"add": "residual", "concat": "parallel", "multiply": "gated"}


def _type(values: Sequence[Value]) -> str:
    """Return the type of a parameter with these values."""
    if any(isinstance(value, list | tuple) for value in values):
        return "size"
    return "float" if any(isinstance(value, float) for value in values) else "int"


# Repeats


def _repeated(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return a list in which what stands several times side by side is a repeat, the lists inside of it too."""
    found = tuple(entry.with_lists((key, _repeated(inner)) for key, inner in entry.lists) for entry in entries)
    for _ in range(len(found)):
        shorter = _one_repeat(found)
        if shorter is None:
            break
        found = shorter
    return found


def _one_repeat(entries: tuple[Entry, ...]) -> tuple[Entry, ...] | None:
    """Return the list with the repeat that shortens it most; None where there is none."""
    shapes = [shape_of([entry]) for entry in entries]
    best: tuple[int, int, int, Entry] | None = None
    for period in range(1, len(entries) // 2 + 1):
        first = 0
        while first + 2 * period <= len(entries):
            end = first + period
            while shapes[end : end + period] == shapes[first : first + period]:
                end += period
            rounds = (end - first) // period
            if rounds > 1 and not any(entry.all_fixed for entry in entries[first:end]):
                for start, count in _runs(entries, first, period, rounds):
                    parts = [entries[start + period * i : start + period * (i + 1)] for i in range(count)]
                    repeat = _repeat(parts)
                    if repeat is None:
                        continue
                    saved = sum(e.lines for e in entries[start : start + period * count]) - repeat.lines
                    if repeat.fields[0][0] == "each" and len(repeat.fields[0][1]) > MOST_LISTS:
                        continue
                    enough = count > 2 or repeat.fields[0][0] == "times" or saved > 4
                    if enough and saved > 0 and (best is None or saved > best[0]):
                        best = (saved, start, start + period * count, repeat)
            first = end if rounds > 1 else first + 1
    if best is None:
        return None
    _, first, end, repeat = best
    return (*entries[:first], repeat, *entries[end:])


def _runs(entries: Sequence[Entry], first: int, period: int, rounds: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the rounds of the stretches of a run whose names count up, and of those that are equal."""
    parts = [entries[first + i * period : first + (i + 1) * period] for i in range(rounds)]
    at = 0
    while at < rounds:
        count = 1
        while at + count < rounds and numbered(parts[at : at + count + 1]) is not None:
            count += 1
        yield from _equal_runs(entries, first + at * period, period, count)
        at += count


def _equal_runs(entries: Sequence[Entry], first: int, period: int, rounds: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the rounds of a run, and of the stretches of it that are equal."""
    if rounds > 1:
        yield first, rounds
    start = first
    for i in range(1, rounds + 1):
        at = first + i * period
        if i == rounds or _plain(entries[at : at + period]) != _plain(entries[start : start + period]):
            if (at - start) // period > 1:
                yield start, (at - start) // period
            start = at


def _plain(entries: Sequence[Entry]) -> Any:
    return [(entry.kind, entry.fields, [(name, _plain(inner)) for name, inner in entry.lists]) for entry in entries]


def _repeat(parts: Sequence[Sequence[Entry]]) -> Entry | None:
    """Return the repeat of parts of one shape; None where their names do not count up."""
    numbers = numbered(parts)
    if numbers is None:
        return None
    common = unified(parts, within=True)
    each = {name: list(values) for name, values in common.params.items()}
    entries = tuple(parts[0]) if all(_plain(part) == _plain(parts[0]) for part in parts) else common.entries
    fields: tuple[tuple[str, Value], ...] = (("each", each),) if each else (("times", len(parts)),)
    if numbers.template:
        entries = tuple(entry.renamed(names) for names in [iter(numbers.template)] for entry in entries)
        fields += (("index", numbers.param), ("first", numbers.first))
    return Entry("repeat", fields, (("layers", entries),), parts[0][0].arrives, fixed=_nested(each))


def _nested(each: dict[str, list[Value]]) -> bool:
    """Whether a value is one of another repeat, which cannot be a value of a list."""
    return any(isinstance(value, Reference) for values in each.values() for value in values)
