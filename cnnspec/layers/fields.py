"""The types of layer fields, each of which accepts every form that a spec may use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from cnnspec.layers.geometry import AXES, SIDES
from cnnspec.layers.padding import AUTO, EachSide, Padding, Sides, Sizes, Total
from cnnspec.wording import describe, quoted, yaml11_hint

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction01 = Annotated[float, Field(ge=0, lt=1)]

LARGEST = 2**31 - 1


def fault(code: str, message: str, *at: str | int, help: str = "", known: tuple[str, ...] = ()) -> PydanticCustomError:
    """Return an error of ours inside a pydantic validator.

    `at` is the path to the invalid value; `known` are the words that may stand in its place, from which the language
    suggests one, and `help` is what to do where none is near.
    """
    context = {"at": at, "help": help, "known": known}
    return PydanticCustomError(code, message.replace("{", "{{").replace("}", "}}"), context)


def _whole(value: Any, least: int, *at: str | int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("wrong-type", f"takes a whole number, not {describe(value)}", *at)
    if value < least:
        raise fault("invalid-value", f"takes {least} or more, not {describe(value)}", *at)
    if value > LARGEST:
        raise fault("invalid-value", f"takes at most {LARGEST:,}, not {describe(value)}", *at)
    return value


def _sizes(value: Any, least: int) -> Sizes:
    if isinstance(value, list | tuple):
        if len(value) not in AXES:
            raise fault("invalid-value", f"takes one number or one for each axis, not {describe(value)}")
        return tuple(_whole(size, least, i) for i, size in enumerate(value))
    if isinstance(value, dict | str) or value is None:
        raise fault("wrong-type", f"takes a whole number or one for each axis, not {describe(value)}")
    return _whole(value, least)


def _written(sizes: Sizes) -> Any:
    return sizes if isinstance(sizes, int) else list(sizes)


def _sizes_schema(least: int) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": least, "maximum": LARGEST}
    return {"anyOf": [whole, {"type": "array", "items": whole, "minItems": min(AXES), "maxItems": max(AXES)}]}


Size = Annotated[
    Sizes,
    PlainValidator(lambda v: _sizes(v, 1)),
    PlainSerializer(_written),
    WithJsonSchema(_sizes_schema(1)),
]
"""One number for every spatial axis, or a list with one for each: [height, width]."""

Offset = Annotated[
    Sizes,
    PlainValidator(lambda v: _sizes(v, 0)),
    PlainSerializer(_written),
    WithJsonSchema(_sizes_schema(0)),
]
"""As Size, and 0 is allowed."""

_SIDES = SIDES[max(SIDES)]


def _padding(value: Any) -> Padding:
    match value:
        case Total() | EachSide() | Sides():
            return value
        case str():
            if value not in AUTO:
                raise fault(
                    "invalid-value",
                    f"takes {', '.join(AUTO)} or numbers, not {describe(value)}",
                    help=_padding_hint(value),
                )
            return value
        case list() | tuple() if len(value) == 4:
            raise fault(
                "invalid-value",
                "takes no list of four, which every framework orders differently",
                help=_BY_SIDE,
            )
        case dict():
            return _padding_mapping(value)
        case None:
            raise fault("wrong-type", "takes a number, a list, a word or a mapping, not nothing")
    return Total(_sizes(value, 0))


_BY_SIDE = "`{top: …, bottom: …, left: …, right: …}`"


def _padding_hint(word: str) -> str:
    """Return what to write instead of a word that is not one of `AUTO`."""
    if word == "SAME":
        return "TensorFlow's SAME is `same_upper`; `same` is a total of k − 1"
    if word.casefold() == "causal":
        return "`{left: …}` pads a sequence at its beginning alone: (kernel − 1) · dilation elements are causal"
    if word.casefold() in AUTO:
        return f"did you mean `{word.casefold()}`?"
    return f"without quotes: `{word}`" if word.isdecimal() else ""


def _padding_mapping(value: dict[str, Any]) -> EachSide | Sides:
    if "each_side" in value:
        if len(value) > 1:
            raise fault("invalid-value", "takes `each_side` alone or any of top, bottom, left, right")
        try:
            return EachSide(_sizes(value["each_side"], 0))
        except PydanticCustomError as error:
            at = (error.context or {}).get("at", ())
            raise fault(error.type, error.message(), "each_side", *at) from None
    for key in value:
        if key not in _SIDES:
            takes = "it takes each_side, or top, bottom, left and right"
            raise fault("unknown-key", f"has no {quoted(key)}", key, help=takes, known=(*_SIDES, "each_side"))
    return Sides(tuple((side, _whole(value[side], 0, side)) for side in _SIDES if side in value))


def _write_padding(value: Padding) -> Any:
    match value:
        case Total():
            return _written(value.sizes)
        case EachSide():
            return {"each_side": _written(value.sizes)}
        case Sides():
            return dict(value.elements)
    return value


PaddingField = Annotated[
    Padding,
    PlainValidator(_padding),
    PlainSerializer(_write_padding),
    WithJsonSchema(
        {
            "anyOf": [
                *_sizes_schema(0)["anyOf"],
                {"enum": list(AUTO)},
                {
                    "type": "object",
                    "properties": {"each_side": _sizes_schema(0)},
                    "additionalProperties": False,
                    "required": ["each_side"],
                },
                {
                    "type": "object",
                    "properties": {side: {"type": "integer", "minimum": 0, "maximum": LARGEST} for side in _SIDES},
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""The padding in all of its forms; a number is the total of both sides."""


class Numbers(NamedTuple):
    """An array written in the spec: its shape and its values in C order. A single number has the shape ()."""

    shape: tuple[int, ...]
    values: tuple[float, ...]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it fits an array of that shape: leading axes of size one may be left out, one number fills all."""
        if not self.shape:
            return True
        left_out = len(shape) - len(self.shape)
        return left_out >= 0 and shape[left_out:] == self.shape and math.prod(shape[:left_out]) == 1

    def samples(self, shape: tuple[int, ...]) -> int | None:
        """Return how many samples of that shape it holds; None where it does not fit."""
        if self.fits(shape):
            return 1
        return self.shape[0] if self.shape[1:] == shape else None

    def nested(self) -> Any:
        """Return the numbers as nested lists."""
        values: list[Any] = list(self.values)
        for size in reversed(self.shape):
            values = [values[i : i + size] for i in range(0, len(values), size)]
        return values[0]


def numbers(value: Any) -> Numbers:
    """Return nested lists of numbers, with rows of equal length, as an array."""
    if isinstance(value, Numbers):
        return value
    flat: list[float] = []
    shape: list[int] = []
    level = value
    while isinstance(level, list | tuple):
        if not level:
            raise fault("invalid-value", "takes numbers, not an empty list")
        shape.append(len(level))
        level = level[0]
    for at, item in _leaves(value, shape, ()):
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise fault("wrong-type", f"takes numbers, not {describe(item)}", *at)
        if not math.isfinite(item):
            raise fault("invalid-value", f"takes finite numbers, not {item}", *at)
        flat.append(float(item))
    return Numbers(tuple(shape), tuple(flat))


def _leaves(value: Any, shape: list[int], at: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    if len(at) == len(shape):
        yield at, value
        return
    if not isinstance(value, list | tuple) or len(value) != shape[len(at)]:
        raise fault(
            "invalid-value", f"has rows of different length: {describe(value)} beside {shape[len(at)]} numbers", *at
        )
    for i, item in enumerate(value):
        yield from _leaves(item, shape, (*at, i))


_ARRAY_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "array", "minItems": 1}]}

NumbersField = Annotated[
    Numbers,
    PlainValidator(numbers),
    PlainSerializer(Numbers.nested),
    WithJsonSchema(_ARRAY_SCHEMA),
]
"""An array written in the spec."""


def _bias(value: Any) -> bool | Numbers:
    if isinstance(value, str | dict) or value is None:
        raise fault("wrong-type", f"takes true, false or numbers, not {describe(value)}", help=yaml11_hint(value))
    return value if isinstance(value, bool) else numbers(value)


BiasField = Annotated[
    bool | Numbers,
    PlainValidator(_bias),
    PlainSerializer(lambda v: v if isinstance(v, bool) else v.nested()),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, *_ARRAY_SCHEMA["anyOf"]]}),
]
"""Whether there is a bias, or its numbers."""


def _range(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) not in (2, 3):
        raise fault("wrong-type", f"takes [first, end) or [first, end, step], not {describe(value)}")
    step = [_whole(value[2], 1, 2)] if len(value) == 3 else []
    return (_whole(value[0], 0, 0), _whole(value[1], 1, 1), *step)


_RANGE_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": [{"type": "integer", "minimum": least, "maximum": LARGEST} for least in (0, 1, 1)],
    "minItems": 2,
    "maxItems": 3,
}

Range = Annotated[tuple[int, ...], PlainValidator(_range), PlainSerializer(list), WithJsonSchema(_RANGE_SCHEMA)]
"""[first, end): from the first up to, not including, the end; or [first, end, step)."""
