"""The parameters of a class: what differs between the blocks that are written as one, and how one follows from another.

Numbers that are equal for all blocks stand in the code. Of the others, those that are always equal are one parameter,
and multiples of a parameter are written as such (`4 * channels`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from cnnspec.interop.naming import free
from cnnspec.interop.source.names import identifier
from cnnspec.interop.source.text import Resolved, Slot, Value, literal, same

OFTEN = 3
"""How often something is computed that gets a variable."""
CHANNELS = ("in_channels", "channels", "groups")
_OPTIONAL = {"groups": 1, "stride": 1, "padding": 0, "dilation": 1, "bias": True}
"""What a parameter is where a call leaves it out."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a class, and its value for each block."""

    name: str
    role: str
    values: tuple[Value, ...]
    default: Value | None = None

    @property
    def is_positional(self) -> bool:
        """Whether calls give it by position: numbers of channels."""
        return self.role in CHANNELS and self.role != "groups"

    @property
    def annotation(self) -> str:
        """The type of the values."""
        found = dict.fromkeys(
            f"tuple[{', '.join(['int'] * len(v))}]" if isinstance(v, tuple) else type(v).__name__
            for v in sorted(self.values, key=lambda v: isinstance(v, tuple))
        )
        return " | ".join(found)

    @property
    def declaration(self) -> str:
        """The parameter as it stands in a signature."""
        default = "" if self.default is None else f" = {literal(self.default)}"
        return f"{self.name}: {self.annotation}{default}"


@dataclass(frozen=True)
class Shapes:
    """The channels that a block reads and those that it hands on."""

    inputs: int
    output: int


def resolve(
    uses: Sequence[Sequence[Slot]], shapes: Sequence[Shapes], taken: Container[str]
) -> tuple[list[Parameter], list[Resolved]]:
    """Return the parameters, and what stands in each slot, for the slots of all blocks of a class."""
    columns = [tuple(slot.value for slot in column) for column in zip(*uses, strict=True)]
    roles = [slot.role for slot in uses[0]]
    owners = [slot.owner for slot in uses[0]]
    found: list[Parameter] = []
    needed = {values for values, role in zip(columns, roles, strict=True) if role in CHANNELS and not _equal(values)}
    read, made = tuple(s.inputs for s in shapes), tuple(s.output for s in shapes)
    ends = [("channels", read)] if read == made else [("in_channels", read), ("out_channels", made)]
    for name, values in ends:
        parameter = Parameter(name, "channels", values)
        if values in needed or any(_multiple(other, parameter) for other in needed - {read, made}):
            found.append(parameter)
    resolved = [Resolved("")] * len(columns)
    # Padding follows from the kernel, which can stand behind it.
    for i in sorted(range(len(columns)), key=lambda i: roles[i] == "padding"):
        values, role, owner = columns[i], roles[i], owners[i]
        if _equal(values):
            resolved[i] = Resolved(literal(values[0]), values[0])
            continue
        code = _in_terms(values, role, found)
        if code is None:
            name = _name(role, owner, [p.name for p in found], taken)
            default = _OPTIONAL.get(role)
            has_default = default is not None and any(same(v, default) for v in values)
            found.append(Parameter(name, role, values, default if has_default else None))
            code = name
        resolved[i] = Resolved(code)
    order = sorted(found, key=lambda p: (not p.is_positional, p.default is not None))
    return order, resolved


def local_variables(
    own: Sequence[Slot], parameters: Sequence[Parameter], resolved: Sequence[Resolved], taken: Iterable[str] = ()
) -> tuple[list[str], list[Resolved]]:
    """Return assignments to local variables for what the slots compute often, and what stands in the slots then."""
    computed = Counter(found.code for found in resolved[: len(own)] if " " in found.code)
    used = {*taken, *(parameter.name for parameter in parameters)}
    names: dict[str, str] = {}
    for slot, found in zip(own, resolved, strict=False):
        if computed[found.code] >= OFTEN and found.code not in names and slot.role in CHANNELS:
            names[found.code] = free("width" if not names else f"{identifier(slot.owner)}_width", used)
            used.add(names[found.code])
    lines = [f"{name} = {text}" for text, name in names.items()]
    return lines, [Resolved(names.get(found.code, found.code), found.value) for found in resolved[: len(own)]]


def _equal(values: tuple[Value, ...]) -> bool:
    return all(same(value, values[0]) for value in values)


def _family(role: str) -> str:
    return "channels" if role in CHANNELS else role


def _in_terms(values: tuple[Value, ...], role: str, known: Sequence[Parameter]) -> str | None:
    """Return the code of the values in terms of a parameter, if there is one that they follow from."""
    alike = [p for p in known if _family(p.role) == _family(role)]
    for parameter in alike:
        if parameter.values == values:
            return parameter.name
    if role in CHANNELS:
        for parameter in reversed(alike):
            if code := _multiple(values, parameter):
                return code
    if role == "padding":
        for parameter in known:
            if parameter.role == "kernel" and all(
                isinstance(k, int) and v == k // 2 for k, v in zip(parameter.values, values, strict=True)
            ):
                return f"{parameter.name} // 2"
    return None


def _multiple(values: tuple[Value, ...], parameter: Parameter) -> str | None:
    pairs = [*zip(values, parameter.values, strict=True)]
    (value, base), *_ = pairs
    if _equal(parameter.values) or not all(type(v) is type(b) is int and v and b for v, b in pairs):
        return None
    assert isinstance(value, int)
    assert isinstance(base, int)
    if value % base == 0 and all(v == b * (value // base) for v, b in pairs):
        return f"{value // base} * {parameter.name}"
    if base % value == 0 and all(v * (base // value) == b for v, b in pairs):
        return f"{parameter.name} // {base // value}"
    return None


_NAMES = {"in_channels": "channels", "sizes": "size", "pool_stride": "stride"}


def _name(role: str, owner: str, known: Sequence[str], taken: Container[str]) -> str:
    """Return the name of a new parameter: its role, with that of the layer where the role does not tell it apart."""
    word = _NAMES.get(role, role)
    if role == "count":
        word = identifier(owner).rstrip("_")
        name = f"{word}s" if f"{word}s" not in taken else f"{word}_count"
    elif role in CHANNELS and role != "groups":
        name = f"{identifier(owner)}_{word}"
    else:
        name = word if word not in known and word not in taken else f"{identifier(owner)}_{word}"
    while name in known or name in taken:
        name = free(name, {*known, name})
    return name
