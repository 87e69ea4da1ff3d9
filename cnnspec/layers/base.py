"""What every layer declares: its fields, its shape rule, its parameters, its cost. No YAML and no arrays here."""

# No `from __future__ import annotations` here: pydantic would compile Layer's annotations anew for every subclass.

import math
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from cnnspec.layers.fields import Numbers
from cnnspec.layers.geometry import Axis, Field, Pads, TransposedAxis

Shape = tuple[int, ...]
Fields = tuple[Field, Field]


class ShapeError(Exception):
    """A layer that does not fit its inputs. It knows no place in the text: `graph` adds that.

    `field` is the key at fault (`kernel`; None for the layer as a whole), `label` what to say right there,
    `remedies` what would help, and `larger_input` whether a larger input of the network might.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        label: str = "",
        notes: tuple[str, ...] = (),
        remedies: tuple[str, ...] = (),
        larger_input: bool = False,
        input_index: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.label = label
        self.notes = notes
        self.remedies = remedies
        self.larger_input = larger_input
        self.input_index = input_index


class Inferred(NamedTuple):
    """What the shape rule decides: the output shape, the resolved pads, and how far ceil rounding overhangs them."""

    shape: Shape
    pads: Pads | None = None
    overhang: tuple[int, int] = (0, 0)


class Parameter(NamedTuple):
    """One array of a layer: its shape, and how it begins.

    `fill` is the constant it begins with; None draws it by the layer's scheme from `fan_in` and `fan_out`.
    One that is not `trainable` (a running mean) is state: saved with the weights, moved by no optimizer.
    """

    shape: Shape
    fill: float | None = None
    fan_in: int = 0
    fan_out: int = 0
    trainable: bool = True
    numbers: Numbers | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Layer(BaseModel):
    """The base of all layers; a subclass says the rest in one place."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, arbitrary_types_allowed=True
    )

    kind: ClassVar[str]
    """The YAML key, and the name of the kernel in every backend."""
    main: ClassVar[str | None] = None
    """The field that `kind: value` sets."""
    merges: ClassVar[bool] = False
    """Whether it joins branches; all other layers read one tensor."""
    view: ClassVar[bool] = False
    """Whether the output shares the input's memory."""

    kinked: ClassVar[bool] = False
    """Whether its derivative jumps somewhere: two runs whose rounding differs may be on either side of that."""

    def infer(self, *inputs: Shape) -> Inferred:
        """The output shape, or a ShapeError."""
        raise NotImplementedError

    @property
    def always(self) -> Shape | None:
        """The output shape, where it is the same for every input; so that a check can go on behind a fault."""
        return None

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """The layer's arrays by name, for inputs that it fits."""
        return {}

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Multiply-accumulates for one sample; convolutions and dense layers have them, without the bias."""
        return 0

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """What one output element sees, where an input element sees `seen`."""
        return seen

    def windows(self, shape: Shape) -> tuple[Axis, Axis] | tuple[TransposedAxis, TransposedAxis] | None:
        """The sliding window over height and width, of the layers that have one."""
        return None

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """The layer's arithmetic with the numbers in it, as (what, formula)."""
        axes = self.windows(inputs[0])
        if axes is None:
            return []
        return [("height", axes[0].formula()), ("width", axes[1].formula())]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """The MACs as a product, for layers that have any."""
        return ""

    @classmethod
    def field_names(cls) -> list[str]:
        """The fields in the order in which a spec writes them: what is the layer's own before what it shares."""
        own = [name for name in cls.__annotations__ if name in cls.model_fields]
        return [*own, *(name for name in cls.model_fields if name not in own)]


class Elementwise(Layer):
    """Layers that change numbers and no shape."""

    def infer(self, *inputs: Shape) -> Inferred:
        """The shape of the input."""
        return Inferred(inputs[0])


def image(kind: str, shape: Shape) -> tuple[int, int, int]:
    """The shape as channels, height, width; a flat vector is an error."""
    if len(shape) != 3:
        raise ShapeError(
            "needs-image",
            f"`{{name}}` takes an image, and gets a flat vector of {shape[0]}",
            label="needs channels × height × width",
            remedies=(f"put `{kind}` before the layer that flattens",),
            input_index=0,
        )
    return shape[0], shape[1], shape[2]


def whole_field(seen: Fields) -> Fields:
    """What an element of a layer that reads every position sees."""
    return seen[0].whole(), seen[1].whole()
