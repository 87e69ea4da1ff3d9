"""`$name` and `$(width * 2)`: a small total language of numbers, evaluated by its own parser and never by Python's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cnnspec.layers import Shape
from cnnspec.layers.geometry import AXES, AXIS_NAMES, CHANNELS
from cnnspec.wording import describe, names, quoted

Values = Mapping[str, Any]
LARGEST = 2**63 - 1
LONGEST = 1_000

ARRIVING = "in"
"""The name that stands for the number of channels that arrive where it is written."""
ARRIVING_SIZES = {f"{ARRIVING}_{axis}": axis for axis in AXIS_NAMES if axis != CHANNELS}
"""The axis of each name that stands for a spatial size that arrives, where no parameter is called so."""

UNRESOLVED: Any = object()
"""Stands for a value that an error hides, which is reported."""

_REFERENCE = re.compile(r"\$([A-Za-z_]\w*|\()")
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_TOKEN = re.compile(rf"\s*(?:(?P<number>{_NUMBER})|(?P<name>[A-Za-z_]\w*)|(?P<op>//|\*\*|[-+*/%(),]))")
_DEEPEST = 50
_LARGEST_POWER = 63
"""The largest exponent of a whole number: beyond it, all powers but those of 0, 1 and −1 are larger than LARGEST."""


class ExpressionError(Exception):
    """An error in an expression: its code, and where in the text it begins and ends."""

    def __init__(self, code: str, message: str, start: int, end: int, unknown: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.start = start
        self.end = end
        self.unknown = unknown


class UnresolvedValue(Exception):
    """An expression needs a value that is unresolved; the reason is reported."""


def has_reference(text: str) -> bool:
    """Return whether there is anything to evaluate."""
    return "$" in text


_REFERRED = re.compile(r"\$(?:([A-Za-z_]\w*)|\(([^$]*))")
_VARIABLE = re.compile(r"[A-Za-z_]\w*(?!\w|\s*\()")


def references(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the names that a text refers to, `$width` and those within `$(…)`, with where each begins and ends."""
    for found in _REFERRED.finditer(text):
        if found[1] is not None:
            yield found[1], *found.span(1)
            continue
        for name in _VARIABLE.finditer(text, *found.span(2)):
            yield name[0], *name.span()


_WORDS = "|".join((ARRIVING, *ARRIVING_SIZES))
_ARRIVING = re.compile(rf"\$(?:{_WORDS})\b|\$\([^$]*\b(?:{_WORDS})\b")


def mentions_arriving(text: str) -> bool:
    """Return whether a text may refer to `$in`, or to a size that arrives."""
    return _ARRIVING.search(text) is not None


def mentions_arriving_sizes(text: str) -> bool:
    """Return whether a text may refer to a spatial size that arrives, as `$in_height` does."""
    return any(f"{ARRIVING}_{axis}" in text for axis in ARRIVING_SIZES.values())


def arriving(shape: Shape | None) -> Values:
    """Return the values of `$in` and of the sizes, where this shape arrives; UNRESOLVED where an error hides it."""
    if shape is None:
        return dict.fromkeys((ARRIVING, *ARRIVING_SIZES), UNRESOLVED)
    sizes = zip(AXES.get(len(shape) - 1, ()), shape[1:], strict=True)
    return {ARRIVING: shape[0], **{f"{ARRIVING}_{axis}": size for axis, size in sizes}}


def evaluate(text: str, values: Values) -> Any:
    """Return the value of a text: of its one reference where it is nothing else, or the text with references replaced.

    Raise ExpressionError, or UnresolvedValue where a value is not known.
    """
    parts: list[str] = []
    done, unresolved = 0, False
    while found := _REFERENCE.search(text, done):
        parts.append(_literal(text, done, found.start()))
        if found[1] == "(":
            parser = _Parser(text, found.end(), values)
            value = parser.whole()
            end = parser.at
        else:
            value, end = _look_up(found[1], values, found.start(), found.end()), found.end()
        unresolved = unresolved or value is UNRESOLVED
        if found.start() == 0 and end == len(text) and not unresolved:
            return value
        if value is None or isinstance(value, list | dict):
            message = f"{'a list' if isinstance(value, list) else describe(value)} cannot stand inside of text"
            raise ExpressionError("bad-expression", message, found.start(), end)
        parts.append(str(value).lower() if isinstance(value, bool) else str(value))
        if sum(map(len, parts)) > LONGEST:
            raise ExpressionError("bad-expression", f"the text grows past {LONGEST:,} characters", found.start(), end)
        done = end
    parts.append(_literal(text, done, len(text)))
    if unresolved:
        raise UnresolvedValue
    return "".join(parts)


def _literal(text: str, start: int, end: int) -> str:
    stray = text.find("$", start, end)
    if stray >= 0:
        message = "`$` is followed by a name or by an expression in parentheses"
        raise ExpressionError("bad-expression", message, stray, stray + 1)
    return text[start:end]


def _look_up(name: str, values: Values, start: int, end: int) -> Any:
    if name not in values:
        raise ExpressionError("unknown-param", f"there is no parameter `{name}` here", start, end, name)
    return values[name]


class _Parser:
    """Precedence climbing over the text from behind `$(` up to its closing parenthesis."""

    def __init__(self, text: str, at: int, values: Values) -> None:
        self.text, self.at, self.values = text, at, values
        self.start = at - 2
        self.depth = 0
        self.kind, self.token = "", ""
        self.token_start = at
        self.next()

    def fail(self, message: str) -> ExpressionError:
        end = max(self.at, self.token_start + 1)
        return ExpressionError("bad-expression", message, self.token_start, end)

    def next(self) -> None:
        found = _TOKEN.match(self.text, self.at)
        if not found:
            rest = self.text[self.at :].strip()
            self.token_start = self.at
            if not rest:
                raise ExpressionError("bad-expression", "the parenthesis is not closed", self.start, len(self.text))
            message = f"`{rest[0]}` means nothing here: there are numbers, names, + - * // / % ** and parentheses"
            at = self.text.index(rest[0], self.at)
            raise ExpressionError("bad-expression", message, at, at + 1)
        self.kind, self.token = found.lastgroup or "", found[found.lastgroup or 0]
        self.token_start, self.at = found.start(self.kind), found.end()

    def whole(self) -> Any:
        value = self.sum()
        if self.token != ")":
            raise self.fail(f"`{self.token}` cannot follow here")
        return value

    def sum(self) -> Any:
        left = self.product()
        while self.token in ("+", "-"):
            left = self.apply(left, self.product)
        return left

    def product(self) -> Any:
        left = self.unary()
        while self.token in ("*", "/", "//", "%"):
            left = self.apply(left, self.unary)
        return left

    def power(self) -> Any:
        base = self.atom()
        return self.apply(base, self.unary) if self.token == "**" else base

    def apply(self, left: Any, operand: Callable[[], Any]) -> Any:
        op, start = self.token, self.token_start
        self.next()
        right = operand()
        if left is UNRESOLVED or right is UNRESOLVED:
            return UNRESOLVED
        for side in (left, right):
            if isinstance(side, bool) or not isinstance(side, int | float):
                message = f"`{op}` takes numbers, not {_operand(side)}"
                raise ExpressionError("bad-expression", message, start, start + len(op))
        if (right == 0 and op in ("/", "//", "%")) or (left == 0 and right < 0 and op == "**"):
            raise ExpressionError("bad-expression", "this divides by zero", start, self.token_start)
        try:
            value = _OPERATIONS[op](left, right)
        except OverflowError:
            value = math.inf
        if isinstance(value, complex):
            raise ExpressionError("bad-expression", "a negative number has no such power", start, start + len(op))
        if not abs(value) <= LARGEST:
            raise ExpressionError("bad-expression", "the result is too large", start, start + len(op))
        return value

    def unary(self) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fail(f"this is nested more than {_DEEPEST} deep")
        try:
            return self.signed() if self.token in ("-", "+") else self.power()
        finally:
            self.depth -= 1

    def signed(self) -> Any:
        sign, start = self.token, self.token_start
        self.next()
        value = self.unary()
        if value is UNRESOLVED:
            return UNRESOLVED
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ExpressionError("bad-expression", f"`{sign}` takes a number", start, start + 1)
        return -value if sign == "-" else value

    def atom(self) -> Any:
        kind, token, start, end = self.kind, self.token, self.token_start, self.at
        if kind not in ("number", "name") and token != "(":
            raise self.fail("a number or a name is missing here")
        if len(token) > 300 and kind == "number":
            raise self.fail("the number is too long")
        self.next()
        if token == "(":
            value = self.sum()
            self.close()
            return value
        if kind == "number":
            return int(token) if token.isdecimal() else float(token)
        return self.call(token, start) if self.token == "(" else _look_up(token, self.values, start, end)

    def close(self) -> None:
        if self.token != ")":
            raise self.fail("the parenthesis is not closed")
        self.next()

    def call(self, name: str, start: int) -> Any:
        """Return the value of a function, from behind its name on."""
        end = start + len(name)
        if name not in _FUNCTIONS:
            message = f"there is no function {quoted(name)}: there are {names(list(_FUNCTIONS))}"
            raise ExpressionError("bad-expression", message, start, end)
        function, least, most = _FUNCTIONS[name]
        given: list[Any] = []
        while self.token == "," or not given:
            self.next()
            given.append(self.sum())
        self.close()
        if not least <= len(given) <= most:
            takes = "one number" if most == 1 else "two numbers or more"
            raise ExpressionError("bad-expression", f"`{name}` takes {takes}, not {len(given)}", start, end)
        if UNRESOLVED in given:
            return UNRESOLVED
        for value in given:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ExpressionError("bad-expression", f"`{name}` takes numbers, not {_operand(value)}", start, end)
            if not abs(value) <= LARGEST:
                raise ExpressionError("bad-expression", f"`{name}` takes no number as large as that", start, end)
        return function(*given)


def _operand(value: Any) -> str:
    """Return a value that is no number, as messages name it."""
    if isinstance(value, list):
        return "a list"
    return "true or false" if isinstance(value, bool) else quoted(value) if isinstance(value, str) else describe(value)


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: math.inf if type(a) is int and abs(a) > 1 and b > _LARGEST_POWER else a**b,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, float]] = {
    "int": (int, 1, 1),
    "max": (max, 2, math.inf),
    "min": (min, 2, math.inf),
    "round": (round, 1, 1),
}
"""The functions, each with the least and the largest number of arguments."""
