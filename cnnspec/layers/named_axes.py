"""The axes of a sample by name, for layers that compute along some of them: `channels`, and the spatial axes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.base import Shape, ShapeError
from cnnspec.layers.fields import fault
from cnnspec.layers.geometry import AXIS_NAMES, axes_of
from cnnspec.wording import describe, names, nearest, quoted

ALL = "all"

NamedAxes = tuple[str, ...]
"""(`all`,), or the names of some axes."""


def position(name: str, shape: Shape, field: str) -> int:
    """Return the place of a named axis in the shape of a sample; raise ShapeError where it has no such axis."""
    known = axes_of(shape)
    if name not in known:
        message = f"`{field}` of `{{name}}` names `{name}`, and its input has no such axis"
        label = f"its axes are {names(known)}" if len(known) > 1 else "its input is a flat vector"
        raise ShapeError("wrong-rank", message, field=field, label=label)
    return known.index(name)


def positions(axes: NamedAxes, shape: Shape, field: str = "axes") -> tuple[int, ...]:
    """Return the places of the named axes in the shape of a sample, in the order of the shape."""
    if axes == (ALL,):
        return tuple(range(len(shape)))
    return tuple(sorted(position(name, shape, field) for name in axes))


def axis_names(value: Any) -> tuple[str, ...]:
    """Return a list of axes by name, each of them once, as a tuple."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise fault("wrong-type", f"takes a list of axes by name, not {describe(value)}")
    for i, name in enumerate(value):
        if name not in AXIS_NAMES:
            raise fault("invalid-value", f"knows no axis {quoted(name)}", i, help=_nearest(name, AXIS_NAMES))
        if name in value[:i]:
            raise fault("invalid-value", f"names `{name}` twice", i)
    return tuple(value)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else f"the axes are {names(AXIS_NAMES)}"


def _axes(value: Any) -> NamedAxes:
    if isinstance(value, list | tuple) and value and tuple(value) != (ALL,):
        return axis_names(value)
    word = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(word, str):
        raise fault("wrong-type", f"takes `{ALL}`, an axis by name or a list of axes, not {describe(value)}")
    if word not in (ALL, *AXIS_NAMES):
        raise fault("invalid-value", f"knows no axis {quoted(word)}", help=_nearest(word, (ALL, *AXIS_NAMES)))
    return (word,)


def _written(axes: NamedAxes) -> Any:
    return axes[0] if len(axes) == 1 else list(axes)


AxesField = Annotated[
    NamedAxes,
    PlainValidator(_axes),
    PlainSerializer(_written),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [ALL, *AXIS_NAMES]},
                {"type": "array", "items": {"enum": list(AXIS_NAMES)}, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]
"""`all`, the name of an axis, or a list of names."""
