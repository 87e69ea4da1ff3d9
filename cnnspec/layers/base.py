"""What every layer declares: its fields, its shape rule, its parameters, its cost. No YAML and no arrays here."""

# No `from __future__ import annotations` here: pydantic would compile Layer's annotations anew for every subclass.

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from cnnspec.layers.fields import Numbers
from cnnspec.layers.geometry import AXES, Axis, Pads, ReceptiveField, TransposedAxis, Window

Shape = tuple[int, ...]
Fields = tuple[ReceptiveField, ...]
"""The receptive field along each spatial axis."""
Family = Literal["conv", "pool", "norm", "activation", "dense", "merge", "shape", "other"]
"""What pictures colour a layer by: shape is for layers that move numbers and compute none."""
Precision = Literal["format", "float32", "promoted", "input"]
"""How mixed precision (autocast) computes a layer: in the format of the run, which may have 16 bits; in float32, with
inputs that are cast; on the inputs as they are, where an array of float32 makes the output float32; or in the widest
format of the inputs."""


class ShapeError(Exception):
    """A layer that does not fit its inputs. It knows no place in the text: the language adds that.

    `field` is the invalid key (`kernel`; None for the layer as a whole), `label` the text at that place,
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
    """What the shape rule decides: the output shape, and the resolved window along each spatial axis, if any."""

    shape: Shape
    windows: tuple[Window, ...] = ()

    @property
    def pads(self) -> Pads:
        """Elements added before and after along each axis."""
        return Pads(tuple((window.before, window.after) for window in self.windows))


DEFAULT_SCHEME = "torch"
"""The scheme that draws weights where neither the layer nor the spec names one: PyTorch's own defaults."""


class Parameter(NamedTuple):
    """One array of a layer: its shape, and its initial values.

    `fill` is the constant it begins with; None draws it by `scheme`, or by the network's default scheme, from
    `fan_in` and `fan_out`. `numbers` are those that the spec carries. A parameter that is not `trainable`
    (a running mean) is state: saved with the weights, changed by no optimizer. `torch` is the scheme that PyTorch's
    layer draws it by, where that is another than of its convolutions. With a `deviation`, no scheme counts: it is drawn
    from the normal distribution of that standard deviation.
    """

    shape: Shape
    fill: float | None = None
    fan_in: int = 0
    fan_out: int = 0
    trainable: bool = True
    numbers: Numbers | None = None
    scheme: str | None = None
    torch: str = DEFAULT_SCHEME
    deviation: float | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Rescaled(NamedTuple):
    """A layer that is another one but for constants: y = scale · layer(factor · x) + shift; factor, scale > 0."""

    layer: "Layer"
    factor: float
    scale: float
    shift: float


class Layer(BaseModel):
    """The base of all layers. A subclass declares everything else in one place.

    The traits below say what a layer is like, so that rewrites, verification and backends never ask for its kind.
    They have no defaults here: `SameShape`, `Pool`, `Merge` and the other bases declare those that their layers
    share, and a layer that leaves one undeclared is refused by `undeclared`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, arbitrary_types_allowed=True
    )

    kind: ClassVar[str]
    """The YAML key, and the name of the kernel in every backend."""
    main: ClassVar[str | None] = None
    """The field that `kind: value` sets."""
    like: ClassVar[str | None] = None
    """The field that `like: name` sets to the spatial sizes of a named layer."""

    family: ClassVar[Family] = "other"
    """The family of layers that it is coloured as in pictures."""
    arity: ClassVar[int | None] = 1
    """How many inputs it reads; None for the branches of a merge, of which there are two or more."""
    elementwise: ClassVar[bool]
    """Whether each number of the output depends on the number at its place in the input alone."""
    monotone: ClassVar[bool]
    """Whether it is elementwise and never decreases."""
    linear: ClassVar[bool]
    """Whether it is affine in its inputs at inference."""
    piecewise: ClassVar[bool]
    """Whether its derivative jumps somewhere: two runs whose rounding differs may be on either side of that."""
    saves_input: ClassVar[bool] = True
    """Whether the gradient is computed from the inputs, which training keeps for it."""
    saves_output: ClassVar[bool] = False
    """Whether the gradient is computed from the output, which training keeps for it."""
    precision: ClassVar[Precision] = "input"
    """How mixed precision (autocast) computes it."""
    views_input: ClassVar[bool] = False
    """Whether the output is a view of the input's memory in training, so that it keeps all of that."""
    stochastic: ClassVar[bool] = False
    """Whether training drops elements at random, by a mask whose elements are false with the probability `rate`, which
    is then a field; the method `mask_shape(shape)` returns the shape of the mask."""
    aliases_input: ClassVar[bool] = False
    """Whether the output shares the input's memory at inference."""
    needs_batch_statistics: ClassVar[bool] = False
    """Whether training normalises each channel over the batch, so that a sample's output depends on the others."""
    affine_by_channel: ClassVar[bool] = False
    """Whether it is y = scale[c] · x + shift[c] at inference, with the method `scale_and_shift(arrays)`."""
    folds_affine: ClassVar[bool] = False
    """Whether such a layer behind it can be folded into its weight and bias: see `conv.Weighted`."""
    folds_affine_input: ClassVar[bool] = False
    """Whether y = scale · x + shift before it can be folded in, too, with the method `summed_weight(weight)`."""
    commutes_with_affine: ClassVar[bool] = False
    """Whether f(scale · x + shift) = scale · f(x) + shift for scale > 0, but for padding with zeros: a mean, a maximum,
    or the input's numbers in another order."""
    pads_with_zeros: ClassVar[bool] = False
    """Whether the padding of its windows counts as zeros."""
    rescaled: ClassVar[Rescaled | None] = None
    """Another layer that takes less time and differs from it by constants alone, if there is one."""
    takes_maximum: ClassVar[bool] = False
    """Whether each output element is the maximum of input elements, so that it commutes with a monotone function."""
    sums_inputs: ClassVar[bool] = False
    """Whether the output is the sum of the inputs, which have one shape."""
    joins_channels: ClassVar[bool] = False
    """Whether the output is the channels of all inputs, one input after the other."""
    selects_channels: ClassVar[bool] = False
    """Whether the output is a range of the input's channels: [first, end) of `channels`, which is then a field."""
    size_rule: ClassVar[str] = ""
    """The size along an axis, of the layers with a sliding window: n input, k kernel, p padding in all, s stride."""
    mac_rule: ClassVar[str] = ""
    """What its multiply-accumulates are, in words, of the layers that have any."""
    normalises_classes: ClassVar[bool] = False
    """Whether the output is already a (log-)probability of each class."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the output shape and the resolved windows; raise ShapeError where the inputs do not fit."""
        raise NotImplementedError

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return the multiply-accumulates for one sample, as convolutions, dense layers and attention have them."""
        raise NotImplementedError

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the receptive field of an output element, where that of an input element is `seen`."""
        raise NotImplementedError

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the positions of its inputs that one of its output reads, along each spatial axis, from first to last.

        They lie inside the input; a range is empty where the position reads padding alone. It is by the windows where
        there are some, and everything where there are none. As with `receptive_field`, the statistics of a norm do not
        count.
        """
        if inferred.windows:
            axes = zip(inferred.windows, position, inputs[0][1:], strict=True)
            return tuple(window.covered(i, n) for window, i, n in axes)
        return tuple(map(range, inputs[0][1:]))

    @property
    def fixed_shape(self) -> Shape | None:
        """The output shape where it is the same for every input, so that a check can go on behind an error."""
        return None

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return the layer's arrays by name, for inputs that fit it."""
        return {}

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes that training keeps for the gradient of one sample beside inputs and output.

        `itemsize` is the bytes of a number in the format that the layer computes in.
        """
        return 0

    def mask_shape(self, shape: Shape) -> Shape:
        """Return the shape of the mask for one sample, which is broadcast to the sample's, of a stochastic layer."""
        return shape

    def window_axes(self, shape: Shape) -> tuple[Axis | TransposedAxis, ...]:
        """Return the sliding window along each spatial axis, of the layers that have one."""
        return ()

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the layer's arithmetic with the numbers in it, as (quantity, formula)."""
        axes = self.window_axes(inputs[0])
        return [(name, axis.formula()) for name, axis in zip(AXES.get(len(axes), ()), axes, strict=True)]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return the MACs as a product, for layers that have any."""
        return ""

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return what the axes of parameters are, by parameter, for an input of so many spatial axes: c_out, c_in, k_h.

        A parameter that is left out is explained by its shape alone.
        """
        return {}

    @classmethod
    def field_names(cls) -> list[str]:
        """Return the fields in the order in which a spec writes them: the layer's own before those it shares."""
        own = [name for name in cls.__annotations__ if name in cls.model_fields]
        return [*own, *(name for name in cls.model_fields if name not in own)]


def undeclared(cls: type[Layer]) -> list[str]:
    """Return the traits, fields and methods that a layer must declare, itself or by a base class, and does not."""
    traits = [name for name in ("kind", "elementwise", "monotone", "linear", "piecewise") if not hasattr(cls, name)]
    if cls.stochastic and "rate" not in cls.model_fields:
        traits.append("rate")
    methods = ("infer", "macs", "receptive_field")
    return traits + [name for name in methods if getattr(cls, name) is getattr(Layer, name)]


class WithoutMacs(Layer):
    """Layers without multiply-accumulates: all but convolutions, dense layers and attention."""

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return 0."""
        return 0


class SameShape(WithoutMacs):
    """Layers that change neither the shape nor the receptive field."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        return Inferred(inputs[0])

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input."""
        return seen

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the same position."""
        return same_position(position)


class Elementwise(SameShape):
    """A function of each number by itself; the layer declares `monotone`, `linear` and `piecewise`."""

    elementwise = True


def same_position(position: Sequence[int]) -> tuple[range, ...]:
    """Return the ranges that hold a position alone."""
    return tuple(range(i, i + 1) for i in position)


def whole_field(seen: Fields) -> Fields:
    """Return the receptive field of an element of a layer that reads every position."""
    return tuple(field.whole() for field in seen)
