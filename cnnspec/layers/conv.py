"""Convolutions: a window of weights slides over the input, from every input channel to every output channel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from cnnspec.layers.axes import along_axes, padding_along, spatial
from cnnspec.layers.base import Family, Fields, Inferred, Layer, Parameter, Shape, ShapeError
from cnnspec.layers.fields import BiasField, Count, Numbers, NumbersField, Offset, PaddingField, Size
from cnnspec.layers.geometry import AXES, Axis, TransposedAxis, transposed_window, window
from cnnspec.layers.window import check_border, covered_with_border, does_not_fit, slide
from cnnspec.wording import product

Scheme = Literal[
    "torch", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform", "zeros"
]


KERNEL_AXES = {1: ("k",), 2: ("k_h", "k_w"), 3: ("k_d", "k_h", "k_w")}
"""The names of the sizes of a kernel, by the number of spatial axes."""


class Weighted(Layer):
    """Layers with a weight and a bias, drawn by a scheme or written in the spec."""

    family: ClassVar[Family] = "conv"
    elementwise = False
    monotone = False
    linear = True
    piecewise = False
    folds_affine = True
    precision = "format"

    bias: BiasField = True
    """Whether a bias is added, or its numbers."""
    weight: NumbersField | None = None
    """The weight's numbers, where the spec carries them."""
    init: Scheme | None = None
    """Scheme of the initial weight; by default the spec's `init`."""

    def weight_and_bias(self, shape: Shape, fan_in: int, fan_out: int, outputs: int) -> dict[str, Parameter]:
        """Return the parameters, for a weight of that shape."""
        found = {"weight": Parameter(shape, None, fan_in, fan_out, numbers=self.weight, scheme=self.init)}
        if self.bias is not False:
            given = self.bias if isinstance(self.bias, Numbers) else None
            found["bias"] = Parameter((outputs,), None, fan_in, fan_out, numbers=given, scheme=self.init)
        return found

    def with_bias(self) -> Self:
        """Return the layer with a bias."""
        return self.model_copy(update={"bias": True})

    def scaled_weight(self, weight: Any, scale: Any) -> Any:
        """Return the weight (of NumPy or Torch) with each output channel times its scale [o]."""
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))

    def summed_weight(self, weight: Any) -> Any:
        """Return the sum of the weight (of NumPy or Torch) of each output channel [o]."""
        return weight.reshape(weight.shape[0], -1).sum(1)


def divisors(n: int) -> list[int]:
    """Return the divisors of n up to 1024 and their complements, in order."""
    small = [d for d in range(1, min(n, 1024) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def divide(groups: int, *channels: tuple[int, str], field: str = "groups") -> None:
    """Raise ShapeError where groups do not divide the channels, each given as a number and its name."""
    for count, what in channels:
        if count % groups:
            raise ShapeError(
                "groups-do-not-divide",
                f"{groups} {field} do not divide {count} {what}",
                field=field,
                label=f"{count} / {groups} is not whole",
            )


class Conv(Weighted):
    """Cross-correlation of the input with learned kernels; `flip: true` makes it the mathematical convolution.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - conv: {channels: 16, kernel: 5, padding: same}

    Textbook 1.1–1.3; the output size is ⌊(n − k + p + s) / s⌋ on each axis, weight [o, c/g, kh, kw].
    """

    kind = "conv"
    folds_affine_input = True
    size_rule = "⌊(n − k + p + s) / s⌋"
    mac_rule = "each number of the output is a sum of c_in/groups × kernel products"

    channels: Count
    """Output channels."""
    kernel: Size
    """Size of the window."""
    stride: Size = 1
    """Step of the window."""
    padding: PaddingField = "valid"
    """Border around the input; a number is the total of both sides."""
    dilation: Size = 1
    """Distance between the taps of the window."""
    groups: Count = 1
    """Number of groups that the channels are split into; each reads only its own."""
    flip: bool = False
    """Rotate the kernel by 180°."""
    padding_mode: Literal["zeros", "reflect", "edge", "circular"] = "zeros"
    """What the border is filled with: zeros, the mirror image, the outermost numbers, or those of the other side."""

    @property
    def pads_with_zeros(self) -> bool:  # type: ignore[override]
        """Whether the border is zeros."""
        return self.padding_mode == "zeros"

    def window_axes(self, shape: Shape) -> tuple[Axis, ...]:
        """Return the window along each axis."""
        rank = len(shape) - 1
        kernel, stride = _kernel(self, shape), along_axes(self.stride, rank, "stride")
        padding, dilation = padding_along(self.padding, rank), along_axes(self.dilation, rank, "dilation")
        return tuple(map(window, shape[1:], kernel, stride, padding, dilation))

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [o, oh, ow] for [c, h, w]."""
        spatial(self.kind, inputs[0])
        divide(self.groups, (inputs[0][0], "input channels"), (self.channels, "output channels"))
        axes = self.window_axes(inputs[0])
        windows = tuple([axis.resolved for axis in axes])
        out = [window.out for window in windows]
        if min(out) < 1:
            raise does_not_fit(axes)
        check_border(self.padding_mode, axes, inputs[0])
        return Inferred((self.channels, *out), windows)

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight [o, c/g, kh, kw] and bias [o]."""
        c, kernel = inputs[0][0] // self.groups, _kernel(self, inputs[0])
        taps = math.prod(kernel)
        shape = (self.channels, c, *kernel)
        return self.weight_and_bias(shape, c * taps, self.channels // self.groups * taps, self.channels)

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return c_out × c_in/groups × kernel, and c_out of the bias."""
        return {"weight": ("c_out", "c_in/groups", *KERNEL_AXES[rank]), "bias": ("c_out",)}

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return o·oh·ow · (c/g)·kh·kw."""
        return math.prod(shape) * (inputs[0][0] // self.groups) * math.prod(_kernel(self, shape))

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return o·oh·ow × (c/g)·kh·kw with the numbers."""
        return f"{product(shape)} × {product((inputs[0][0] // self.groups, *_kernel(self, shape)))}"

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the window."""
        return slide(seen, inferred)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return what the window covers; of a border that repeats numbers, where these come from."""
        axes = zip(inferred.windows, position, inputs[0][1:], strict=True)
        return tuple(covered_with_border(self.padding_mode, window, i, n) for window, i, n in axes)


class ConvTranspose(Weighted):
    """Transposed convolution: every element spreads over a window of the output, which grows by the stride.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - conv_transpose: {channels: 8, kernel: 2, stride: 2}

    Dumoulin & Visin 2016, section 4: out = (n − 1)·s + k − p + output_padding; padding cuts rows away, `same` makes
    out = n·s; weight [c, o/g, kh, kw].
    """

    kind = "conv_transpose"
    size_rule = "(n − 1) · s + k − p"
    mac_rule = "each number of the input makes c_out/groups × kernel products"

    channels: Count
    """Output channels."""
    kernel: Size
    """Size of the window."""
    stride: Size = 1
    """Step between the windows of neighbouring elements."""
    padding: PaddingField = "valid"
    """What is cut from the output; a number is the total of both sides."""
    output_padding: Offset = 0
    """Elements added at the end of each axis."""
    dilation: Size = 1
    """Distance between the taps of the window."""
    groups: Count = 1
    """Number of groups that the channels are split into."""

    def window_axes(self, shape: Shape) -> tuple[TransposedAxis, ...]:
        """Return the window along each axis."""
        rank = len(shape) - 1
        kernel, stride = _kernel(self, shape), along_axes(self.stride, rank, "stride")
        padding, dilation = padding_along(self.padding, rank), along_axes(self.dilation, rank, "dilation")
        extra = along_axes(self.output_padding, rank, "output_padding")
        return tuple(map(transposed_window, shape[1:], kernel, stride, padding, dilation, extra))

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [o, oh, ow] for [c, h, w]; the windows' `extra` is what output_padding adds."""
        spatial(self.kind, inputs[0])
        divide(self.groups, (inputs[0][0], "input channels"), (self.channels, "output channels"))
        axes = self.window_axes(inputs[0])
        for name, axis in zip(AXES[len(axes)], axes, strict=True):
            if axis.extra >= max(axis.stride, axis.dilation):
                raise ShapeError(
                    "invalid-value",
                    f"an output padding of {axis.extra} reaches beyond the last window",
                    field="output_padding",
                    label=f"must be below the stride or the dilation, {max(axis.stride, axis.dilation)}",
                )
            if axis.out < 1:
                raise ShapeError(
                    "cut-to-nothing",
                    f"the padding cuts the whole {name} away",
                    field="padding",
                    label=f"cuts {axis.before + axis.after} of {axis.out + axis.before + axis.after}",
                    notes=(f"{name}: {axis.formula()}",),
                    remedies=(f"a total padding of at most {axis.out + axis.before + axis.after - 1}",),
                )
        return Inferred((self.channels, *(axis.out for axis in axes)), tuple(axis.resolved for axis in axes))

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight [c, o/g, kh, kw] and bias [o]."""
        c, o, kernel = inputs[0][0], self.channels // self.groups, _kernel(self, inputs[0])
        taps = math.prod(kernel)
        # As in PyTorch, which takes the fan-in from the second axis here too.
        return self.weight_and_bias((c, o, *kernel), o * taps, c // self.groups * taps, self.channels)

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return c_in × c_out/groups × kernel, and c_out of the bias."""
        return {"weight": ("c_in", "c_out/groups", *KERNEL_AXES[rank]), "bias": ("c_out",)}

    def scaled_weight(self, weight: Any, scale: Any) -> Any:
        """Return the weight [c, o/g, kh, kw] with each output channel times its scale [o]."""
        g, ones = self.groups, [1] * (weight.ndim - 2)
        by_group = weight.reshape(g, -1, *weight.shape[1:]) * scale.reshape(g, 1, -1, *ones)
        return by_group.reshape(weight.shape)

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return c·h·w · (o/g)·kh·kw."""
        return math.prod(inputs[0]) * (self.channels // self.groups) * math.prod(_kernel(self, shape))

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return c·h·w × (o/g)·kh·kw with the numbers."""
        return f"{product(inputs[0])} × {product((self.channels // self.groups, *_kernel(self, shape)))}"

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the elements whose windows overlap at one position."""
        return tuple(
            field.transposed(window.span, window.stride, window.out)
            for field, window in zip(seen, inferred.windows, strict=True)
        )

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the elements whose windows overlap at the position."""
        axes = zip(inferred.windows, position, inputs[0][1:], strict=True)
        return tuple(window.spread_over(i, n) for window, i, n in axes)


def _kernel(layer: Conv | ConvTranspose, shape: Shape) -> tuple[int, ...]:
    """Return the size of the window along each spatial axis of an input (or output) of this shape."""
    return along_axes(layer.kernel, len(shape) - 1, "kernel")
