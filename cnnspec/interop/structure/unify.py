"""Several sequences of entries that differ in numbers, as one with parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from cnnspec.interop.naming import free
from cnnspec.interop.structure.entry import Entry, Value

Sequences = Sequence[Sequence[Entry]]


class Reference(str):
    """A value that is written as a reference or an expression: `$c`, `$(c * 4)`."""


class Common(NamedTuple):
    """What several sequences have in common: the entries, and the values of each parameter, one for each sequence."""

    entries: tuple[Entry, ...]
    params: dict[str, list[Value]]


def is_number(value: Value) -> bool:
    """Whether a value may be that of a parameter."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, list | tuple) and all(map(is_number, value)))


def shape_of(entries: Sequence[Entry]) -> Any:
    """Return what entries are but for their numbers: sequences of one shape can be unified."""
    return tuple(
        (
            entry.kind,
            tuple((name, "number" if _varies(name, value) else repr(value)) for name, value in entry.fields),
            tuple((name, shape_of(inner)) for name, inner in entry.lists),
        )
        for entry in entries
    )


def _varies(name: str, value: Value) -> bool:
    return is_number(value) and name not in ("eps", "momentum", "slope", "alpha", "offset", "value", "cubic_coeff")


NAMES = {
    "channels": "c",
    "units": "units",
    "kernel": "k",
    "stride": "s",
    "groups": "g",
    "rate": "rate",
    "size": "size",
    "times": "n",
}
"""Names of parameters by the field that they are first used in."""


def unified(sequences: Sequences, *, within: bool = False) -> Common:
    """Return sequences of one shape as one, with a parameter for each number that differs.

    A number that is another parameter times a whole number, or a multiple or a part of the channels that arrive, is an
    expression of that. References to the parameters of a block around them stay if they are `within` it.
    """
    columns = list(zip(*([*_values(entries)] for entries in sequences), strict=True))
    params: dict[str, list[Value]] = {}
    found: list[Value] = []
    for column in columns:
        name = column[0][1]
        values = [value for _, _, value in column]
        if all(value == values[0] and (within or not _is_parameter(value)) for value in values):
            found.append(values[0] if not _is_depthwise(column) else Reference("$in"))
            continue
        arriving = [entry.arrives for entry, _, _ in column]
        found.append(_expression(name, values, arriving, params))
    replacements = iter(found)
    return Common(tuple(entry.replaced(replacements) for entry in sequences[0]), params)


def _is_parameter(value: Value) -> bool:
    """Whether a value refers to a parameter, and not only to the channels that arrive."""
    return isinstance(value, Reference) and not re.fullmatch(r"\$in|\$\(in .*\)", value)


def _values(entries: Sequence[Entry]) -> list[tuple[Entry, str, Value]]:
    return [value for entry in entries for value in entry.values()]


def _is_depthwise(column: Sequence[tuple[Entry, str, Value]]) -> bool:
    return all(name == "groups" and value == entry.arrives and value > 1 for entry, name, value in column)


def _expression(name: str, values: list[Value], arriving: list[int], params: dict[str, list[Value]]) -> Reference:
    """Return a reference to a parameter with these values, which is added if there is none."""
    whole = all(isinstance(value, int) for value in values)
    if name == "groups" and values == arriving:
        return Reference("$in")
    for param, known in params.items():
        if known == values:
            return Reference(f"${param}")
    if whole and name in ("channels", "units", "groups"):
        for param, known in params.items():
            if all(isinstance(value, int) for value in known):
                if factor := _factor(values, known):
                    return Reference(f"$({param} * {factor})")
                if factor := _factor(known, values):
                    return Reference(f"$({param} // {factor})")
        if min(arriving) > 0:
            if values == arriving:
                return Reference("$in")
            if factor := _factor(values, arriving):
                return Reference(f"$(in * {factor})")
            if factor := _factor(arriving, values):
                return Reference(f"$(in // {factor})")
    new = free(NAMES.get(name, name.rstrip("0123456789") or name), params)
    params[new] = values
    return Reference(f"${new}")


def _factor(values: list[Any], base: list[Any]) -> int:
    """Return the whole number above 1 that each value is its base times; 0 where there is none."""
    factor: int = values[0] // base[0] if base[0] and values[0] % base[0] == 0 else 0
    return factor if factor > 1 and all(v == b * factor for v, b in zip(values, base, strict=True)) else 0
