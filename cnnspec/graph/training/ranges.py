"""The ranges that random numbers of augmentation are drawn from: `[from, to]`, or one number that stands for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.fields import fault
from cnnspec.wording import describe

Pair = tuple[float, float]
LARGEST = 10**9
"""The bound of all numbers of a range."""


def _number(value: Any, *at: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("wrong-type", f"takes numbers, not {describe(value)}", *at)
    if not abs(value) < LARGEST:
        raise fault("invalid-value", f"takes numbers below {LARGEST:g}, not {describe(value)}", *at)
    return float(value)


def _reader(
    allows: Callable[[float], bool], takes: str, ends: Callable[[float], Pair] | None = None, single: str = ""
) -> PlainValidator:
    """Return the validator of a range of numbers that it `allows`; `ends` makes one of a single number.

    `takes` says which numbers are allowed, and `single` which may stand alone, where these are others.
    """

    def read(value: Any) -> Pair:
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise fault("wrong-type", f"takes [from, to], not {describe(value)}")
            found = (_number(value[0], 0), _number(value[1], 1))
            for i, end in enumerate(found):
                if not allows(end):
                    raise fault("invalid-value", f"takes {takes}, not {describe(value[i])}", i)
            if found[0] > found[1]:
                raise fault("invalid-value", f"takes [from, to] in ascending order, not {list(value)}")
            return found
        if ends is None or isinstance(value, bool) or not isinstance(value, int | float):
            takes_one = "[from, to]" if ends is None else "a number or [from, to]"
            raise fault("wrong-type", f"takes {takes_one}, not {describe(value)}")
        low, high = ends(_number(value))
        if low > high or not (allows(low) and allows(high)):
            raise fault("invalid-value", f"takes {single or takes}, not {describe(value)}")
        return low, high

    return PlainValidator(read)


_LIMITS = {"exclusiveMinimum": -LARGEST, "exclusiveMaximum": LARGEST}
_WRITTEN = PlainSerializer(list)


def _schema(pair: dict[str, Any], single: dict[str, Any] | None = None) -> WithJsonSchema:
    """Return the schema of [from, to] within limits, and of the number within others that may stand alone."""
    number = {"type": "number", **_LIMITS}
    listed = {"type": "array", "items": number | pair, "minItems": 2, "maxItems": 2}
    return WithJsonSchema(listed if single is None else {"anyOf": [number | single, listed]})


Fractions = Annotated[
    Pair, _reader(lambda x: 0 < x <= 1, "fractions above 0 and at most 1"),
    _WRITTEN, _schema({"exclusiveMinimum": 0, "maximum": 1}),
]  # fmt: skip
"""[from, to] of fractions."""
Ratios = Annotated[
    Pair, _reader(lambda x: x > 0, "numbers above 0"), _WRITTEN, _schema({"exclusiveMinimum": 0})
]  # fmt: skip
"""[from, to] of positive numbers."""
Interval = Annotated[
    Pair, _reader(lambda x: x >= 0, "numbers of 0 or more", lambda x: (x, x)),
    _WRITTEN, _schema({"minimum": 0}, {"minimum": 0}),
]  # fmt: skip
"""[from, to] of numbers of 0 or more, or the only one."""
Degrees = Annotated[
    Pair, _reader(lambda x: abs(x) <= 360, "angles up to 360", lambda x: (-x, x), "an angle from 0 to 360"),
    _WRITTEN, _schema({"minimum": -360, "maximum": 360}, {"minimum": 0, "maximum": 360}),
]  # fmt: skip
"""[from, to] of angles in degrees, or the largest one in both directions."""
Around1 = Annotated[
    Pair, _reader(lambda x: x >= 0, "numbers of 0 or more", lambda x: (max(0.0, 1 - x), 1 + x)),
    _WRITTEN, _schema({"minimum": 0}, {"minimum": 0}),
]  # fmt: skip
"""[from, to] of factors, or their largest difference from 1."""
Around0 = Annotated[
    Pair, _reader(lambda x: abs(x) <= 0.5, "numbers from -0.5 to 0.5", lambda x: (-x, x), "a number from 0 to 0.5"),
    _WRITTEN, _schema({"minimum": -0.5, "maximum": 0.5}, {"minimum": 0, "maximum": 0.5}),
]  # fmt: skip
"""[from, to] of fractions of a circle, or the largest one in both directions."""


def _fill(value: Any) -> int | Literal["random"]:
    if value == "random":
        return "random"
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
        raise fault("invalid-value", f"takes `random` or a pixel from 0 to 255, not {describe(value)}")
    return value


Fill = Annotated[
    int | Literal["random"],
    PlainValidator(_fill),
    WithJsonSchema({"anyOf": [{"enum": ["random"]}, {"type": "integer", "minimum": 0, "maximum": 255}]}),
]
"""A pixel, or random ones."""
