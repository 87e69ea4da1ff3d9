"""Source code with open numbers: text whose numbers are slots, so that equal code with other numbers can be found.

A block of a network is written once for all of its uses; the numbers in which they differ become parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Value = bool | int | float | tuple[int, ...] | tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A number in the code: what it is of its layer (`kernel`), and the layer."""

    value: Value
    role: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call; it is left out where it is a number that is `default` for every use of the block."""

    text: Text
    keyword: str = ""
    default: Value | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function or of a class."""

    function: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """The variable that holds the value of a node."""

    node: str


Text = tuple[str | Slot | Call | Variable, ...]


class Resolved(NamedTuple):
    """The code that stands in a slot, and the number where it is one."""

    code: str
    value: Value | None = None


def slots(text: Text) -> Iterator[Slot]:
    """Yield the slots in the order of the text."""
    for part in text:
        if isinstance(part, Slot):
            yield part
        elif isinstance(part, Call):
            for argument in part.arguments:
                yield from slots(argument.text)


def key(text: Text) -> Hashable:
    """Return what is equal for texts that differ in their numbers alone."""
    return tuple(_part_key(part) for part in text)


def named(text: Text, names: Mapping[str, str]) -> Text:
    """Return the text with the names of its variables."""
    return tuple(_named(part, names) for part in text)


def _named(part: str | Slot | Call | Variable, names: Mapping[str, str]) -> str | Slot | Call:
    match part:
        case Variable():
            return names[part.node]
        case Call():
            arguments = (Argument(named(a.text, names), a.keyword, a.default) for a in part.arguments)
            return Call(part.function, tuple(arguments))
    return part


def variables(text: Text) -> Iterator[str]:
    """Yield the nodes whose values the text reads."""
    for part in text:
        if isinstance(part, Variable):
            yield part.node
        elif isinstance(part, Call):
            for argument in part.arguments:
                yield from variables(argument.text)


def _part_key(part: str | Slot | Call | Variable) -> Hashable:
    match part:
        case Slot():
            return Slot, part.role
        case Call():
            return part.function, tuple((a.keyword, a.default, key(a.text)) for a in part.arguments)
    return part


def render(text: Text, resolved: Iterator[Resolved]) -> str:
    """Return the code, with the next of `resolved` in each slot."""
    written = []
    for part in text:
        match part:
            case Slot():
                written.append(next(resolved).code)
            case Call():
                arguments = [_argument(argument, resolved) for argument in part.arguments]
                written.append(f"{part.function}({', '.join(a for a in arguments if a is not None)})")
            case str():
                written.append(part)
            case Variable():
                raise ValueError(f"the variable of `{part.node}` has no name yet")
    return "".join(written)


def _argument(argument: Argument, resolved: Iterator[Resolved]) -> str | None:
    if argument.default is not None and len(argument.text) == 1 and isinstance(argument.text[0], Slot):
        found = next(resolved)
        if same(found.value, argument.default):
            return None
        code = found.code
    else:
        code = render(argument.text, resolved)
    return f"{argument.keyword}={code}" if argument.keyword else code


def plain(text: Text) -> str:
    """Return the code with its own numbers."""
    return render(text, (Resolved(literal(slot.value), slot.value) for slot in slots(text)))


def same(a: Value | None, b: Value | None) -> bool:
    """Whether two numbers are equal and of one type: 1 is not True."""
    return a == b and type(a) is type(b)


def literal(value: Value) -> str:
    """Return a number as code: 1e-5 for 1e-05."""
    match value:
        case tuple():
            return f"({', '.join(map(str, value))}{',' if len(value) == 1 else ''})"
        case float() if math.isinf(value):
            return "-torch.inf" if value < 0 else "torch.inf"
        case float():
            mantissa, e, exponent = repr(value).partition("e")
            return f"{mantissa}e{int(exponent)}" if e else mantissa
    return str(value)


# Layout


WIDTH = 120
INDENT = "    "
_OPENING, _CLOSING = "([{", ")]}"


def wrapped(line: str, indent: int, tail: str = "") -> list[str]:
    """Return a statement as lines of at most `WIDTH`, broken at its last bracket as formatters do.

    `tail` is what stands behind that bracket: ` -> None:`.
    """
    margin = INDENT * indent
    opening = _last_opening(line)
    if len(margin + line + tail) <= WIDTH or opening is None:
        return [margin + line + tail]
    if line[opening - 1] == ")" and len(margin + line[: opening + 1]) > WIDTH:  # of a call of a call, the first breaks
        return wrapped(line[:opening], indent, line[opening:] + tail)
    head, body, end = line[: opening + 1], line[opening + 1 : -1], line[-1] + tail
    if len(margin + INDENT + body) <= WIDTH:
        return [margin + head, margin + INDENT + body, margin + end]
    found = _parts(body)
    comma = "," if len(found) > 1 else ""
    parts = [wrapped(part, indent + 1, comma) for part in found]
    return [margin + head, *(line for part in parts for line in part), margin + end]


def spaced(line: str) -> str:
    """Return the line with spaces around the colons of slices that are more than numbers, as formatters put them."""

    def index(part: str) -> str:
        first, colon, end = part.partition(":")
        return f"{first} : {end}".strip() if colon and re.search(r"[. ]", part) else part

    return re.sub(r"\[:, ([^][]*)]", lambda found: f"[:, {', '.join(map(index, found[1].split(', ')))}]", line)


def _last_opening(line: str) -> int | None:
    """Return the place of the bracket that the end of the line closes."""
    if not line or line[-1] not in _CLOSING:
        return None
    depth = 0
    for i in reversed(range(len(line))):
        depth += (line[i] in _CLOSING) - (line[i] in _OPENING)
        if depth == 0:
            return i
    return None


def _parts(body: str) -> list[str]:
    """Return the parts between the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(body):
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == "," and depth == 0:
            parts.append(body[start:i].strip())
            start = i + 1
    return [*parts, body[start:].strip()]
