"""Settings of a spec beside its layers and its training: preprocessing of the input, expected totals, examples."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.fields import Natural, NumbersField, Positive, fault, numbers
from cnnspec.layers.geometry import MOST_SIZES
from cnnspec.wording import describe

UnitInterval = Annotated[float, Field(ge=0, le=1)]


Rate = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """A mapping of the spec, frozen and typed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Choice(Settings):
    """One of several kinds, written as a layer is: the kind alone, with its main field, or with a mapping."""

    kind: ClassVar[str]
    main: ClassVar[str | None] = None


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_SIZES:
        remedy = f"`[{value}]`" if isinstance(value, int) else ""
        raise fault("wrong-type", f"takes [channels, height, width] or [features], not {describe(value)}", help=remedy)
    for i, size in enumerate(value):
        if isinstance(size, bool) or not isinstance(size, int):
            raise fault("wrong-type", f"takes whole numbers, not {describe(size)}", i)
        if size < 1:
            raise fault("invalid-value", f"takes sizes of at least 1, not {size}", i)
    return tuple(value)


def _for_each_channel(value: Any) -> tuple[float, ...]:
    found = numbers(value)
    if len(found.shape) > 1:
        raise fault("wrong-type", "takes one number, or one for each channel")
    return found.values


InputShape = Annotated[
    tuple[int, ...],
    PlainValidator(_shape),
    PlainSerializer(list),
    WithJsonSchema(
        {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": MOST_SIZES}
    ),
]


PerChannel = Annotated[
    tuple[float, ...],
    PlainValidator(_for_each_channel),
    PlainSerializer(lambda v: v[0] if len(v) == 1 else list(v)),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}),
]


Fit = Literal["exact", "resize", "pad"]


class Input(Settings):
    """The shape of one sample, and the preprocessing of pixels (0 to 255): (pixel · scale − mean) / std."""

    shape: InputShape
    """[channels, height, width], [features], or [channels, ...] of one or three spatial axes."""
    scale: Positive = 1 / 255
    """Factor of the pixels."""
    mean: PerChannel = (0.0,)
    """Mean that is subtracted after scaling; one number, or one for each channel."""
    std: PerChannel = (1.0,)
    """Standard deviation that is divided by; one number, or one for each channel."""
    fit: Fit = "exact"
    """Images of another size are refused (exact), stretched (resize), or centred on pixels of zero (pad)."""


class Expect(Settings):
    """Totals that the author states, which `check` compares with the network."""

    parameters: Natural | None = None
    """Number of trainable parameters."""
    macs: Natural | None = None
    """Multiply-accumulates of convolutions and dense layers, without bias."""
    output: InputShape | None = None
    """Shape of the output."""
    outputs: dict[str, InputShape] = Field(default_factory=dict)
    """Shapes of outputs by name."""


class ExampleText(Settings):
    """An input and the output that the network computes from it, as a doctest of the spec."""

    name: str | None = None
    """Name in reports."""
    input: NumbersField | None = None
    """One sample, or a batch; leading axes of size one may be left out, and a single number fills it."""
    output: NumbersField | None = None
    """The output of the network."""
    inputs: dict[str, NumbersField] | None = None
    """Every input by name, where there are several."""
    outputs: dict[str, NumbersField] | None = None
    """Outputs by name."""
    tolerance: Positive = 1e-6
    """Largest difference that counts as equal, relative where the number is above 1."""
