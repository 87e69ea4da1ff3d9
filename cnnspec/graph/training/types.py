"""The types of training settings that accept more than one form."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.fields import fault
from cnnspec.wording import describe


def _names(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list | tuple) else [value]
    for i, item in enumerate(found):
        if not isinstance(item, str):
            raise fault("wrong-type", f"takes names, not {describe(item)}", *([i] if found is value else []))
    return tuple(found)


def _numbers(value: Any) -> tuple[float, ...]:
    found = value if isinstance(value, list | tuple) else [value]
    for i, item in enumerate(found):
        at = [i] if found is value else []
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise fault("wrong-type", f"takes numbers, not {describe(item)}", *at)
        if not 0 <= item < float("inf"):
            raise fault("invalid-value", f"takes finite numbers of 0 or more, not {describe(item)}", *at)
    return tuple(map(float, found))


def _epochs(value: Any) -> tuple[int, ...]:
    found = value if isinstance(value, list | tuple) else [value]
    last = 0
    for i, item in enumerate(found):
        at = [i] if found is value else []
        if isinstance(item, bool) or not isinstance(item, int):
            raise fault("wrong-type", f"takes whole numbers, not {describe(item)}", *at)
        if item <= last:
            raise fault("invalid-value", f"takes epochs in ascending order, from 1 on, not {describe(item)}", *at)
        last = item
    if not found:
        raise fault("invalid-value", "takes at least one epoch")
    return tuple(found)


def _schema(of: dict[str, Any], least: int = 0) -> WithJsonSchema:
    listed = {"type": "array", "items": of} | ({"minItems": least} if least else {})
    return WithJsonSchema({"anyOf": [of, listed]})


Names = Annotated[tuple[str, ...], PlainValidator(_names), PlainSerializer(list), _schema({"type": "string"})]
"""A name or a list of names."""
PerClass = Annotated[
    tuple[float, ...], PlainValidator(_numbers), PlainSerializer(list), _schema({"type": "number", "minimum": 0})
]
"""A number of 0 or more, or a list of them with one for each class."""
Epochs = Annotated[
    tuple[int, ...], PlainValidator(_epochs), PlainSerializer(list), _schema({"type": "integer", "minimum": 1}, 1)
]
"""Epochs in ascending order."""
