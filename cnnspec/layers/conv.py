"""Convolutions: a window of weights slides over the image, every channel into every output channel."""

from __future__ import annotations

import math
from typing import Literal

from cnnspec.layers.base import Fields, Inferred, Layer, Parameter, Shape, ShapeError, image
from cnnspec.layers.fields import BiasField, Count, Numbers, NumbersField, Offset, PaddingField, Size
from cnnspec.layers.geometry import Axis, TransposedAxis, pads_of, transposed_window, window
from cnnspec.layers.window import does_not_fit

Scheme = Literal[
    "torch", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform", "zeros"
]


class Weighted(Layer):
    """Layers with a weight and a bias, drawn by a scheme or written in the spec."""

    bias: BiasField = True
    """Whether a bias is added, or its numbers."""
    weight: NumbersField | None = None
    """The weight's numbers, where the spec carries them."""
    init: Scheme | None = None
    """How the weight is drawn; by default as the spec's `init` says."""

    def weight_and_bias(self, shape: Shape, fan_in: int, fan_out: int, outputs: int) -> dict[str, Parameter]:
        """The parameters, for a weight of that shape."""
        found = {"weight": Parameter(shape, None, fan_in, fan_out, numbers=self.weight)}
        if self.bias is not False:
            given = self.bias if isinstance(self.bias, Numbers) else None
            found["bias"] = Parameter((outputs,), None, fan_in, fan_out, numbers=given)
        return found


def divide(groups: int, *channels: tuple[int, str]) -> None:
    """Groups that do not divide the channels, each a number and what they are, are an error."""
    for count, what in channels:
        if count % groups:
            common = math.gcd(*(count for count, _ in channels))
            divisors = [d for d in range(1, min(common, 1024) + 1) if common % d == 0]
            near = sorted(divisors, key=lambda d: abs(d - groups))[:2]
            raise ShapeError(
                "groups-do-not-divide",
                f"{groups} groups do not divide {count} {what}",
                field="groups",
                label=f"{count} / {groups} is not whole",
                remedies=tuple(f"`groups: {d}`" for d in sorted(near)),
            )


class Conv(Weighted):
    """Cross-correlation of the image with learned kernels; `flip: true` makes it the mathematical convolution.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - conv: {channels: 16, kernel: 5, padding: same}

    Textbook 1.1–1.3; the output size is ⌊(n − k + p + s) / s⌋ on each axis, weight [o, c/g, kh, kw].
    """

    kind = "conv"

    channels: Count
    """Output channels."""
    kernel: Size
    """Height and width of the window."""
    stride: Size = (1, 1)
    """How far the window moves."""
    padding: PaddingField = "valid"
    """Zeros around the image; a number is the total of both sides."""
    dilation: Size = (1, 1)
    """Distance between the taps of the window."""
    groups: Count = 1
    """Into how many groups channels are split; each sees only its own."""
    flip: bool = False
    """Rotate the kernel by 180°."""

    def windows(self, shape: Shape) -> tuple[Axis, Axis]:
        """The window over height and width."""
        h, w = (window(shape[1 + i], self.kernel[i], self.stride[i], self.padding, i, self.dilation[i]) for i in (0, 1))
        return h, w

    def infer(self, *inputs: Shape) -> Inferred:
        """[o, oh, ow] from [c, h, w]."""
        c, _, _ = image(self.kind, inputs[0])
        divide(self.groups, (c, "input channels"), (self.channels, "output channels"))
        h, w = self.windows(inputs[0])
        if h.out < 1 or w.out < 1:
            raise does_not_fit(h, w)
        return Inferred((self.channels, h.out, w.out), pads_of(h, w))

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """weight [o, c/g, kh, kw] and bias [o]."""
        c = inputs[0][0] // self.groups
        taps = self.kernel[0] * self.kernel[1]
        shape = (self.channels, c, *self.kernel)
        return self.weight_and_bias(shape, c * taps, self.channels // self.groups * taps, self.channels)

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """o·oh·ow · (c/g)·kh·kw."""
        o, oh, ow = shape
        return o * oh * ow * (inputs[0][0] // self.groups) * self.kernel[0] * self.kernel[1]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """o·oh·ow × (c/g)·kh·kw with the numbers."""
        o, oh, ow = shape
        return f"{o}·{oh}·{ow} × {inputs[0][0] // self.groups}·{self.kernel[0]}·{self.kernel[1]}"

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """A window of fields."""
        h, w = self.windows(inputs[0])
        return seen[0].slide(h.k, h.stride, h.out), seen[1].slide(w.k, w.stride, w.out)


class ConvTranspose(Weighted):
    """Transposed convolution: every element spreads over a window of the output, which grows by the stride.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - conv_transpose: {channels: 8, kernel: 2, stride: 2}

    Dumoulin & Visin 2016, section 4: out = (n − 1)·s + k − p + output_padding; padding cuts rows away, `same` makes
    out = n·s; weight [c, o/g, kh, kw].
    """

    kind = "conv_transpose"

    channels: Count
    """Output channels."""
    kernel: Size
    """Height and width of the window."""
    stride: Size = (1, 1)
    """How far apart the windows of neighbours start."""
    padding: PaddingField = "valid"
    """Rows and columns cut from the output; a number is the total of both sides."""
    output_padding: Offset = (0, 0)
    """Rows and columns added at the bottom and right."""
    dilation: Size = (1, 1)
    """Distance between the taps of the window."""
    groups: Count = 1
    """Into how many groups channels are split."""

    def windows(self, shape: Shape) -> tuple[TransposedAxis, TransposedAxis]:
        """The window over height and width."""
        h, w = (
            transposed_window(
                shape[1 + i],
                self.kernel[i],
                self.stride[i],
                self.padding,
                i,
                self.dilation[i],
                self.output_padding[i],
            )
            for i in (0, 1)
        )
        return h, w

    def infer(self, *inputs: Shape) -> Inferred:
        """[o, oh, ow] from [c, h, w]; the overhang is what output_padding adds."""
        c, _, _ = image(self.kind, inputs[0])
        divide(self.groups, (c, "input channels"), (self.channels, "output channels"))
        h, w = self.windows(inputs[0])
        for name, axis in (("height", h), ("width", w)):
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
        return Inferred((self.channels, h.out, w.out), pads_of(h, w), (h.extra, w.extra))

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """weight [c, o/g, kh, kw] and bias [o]."""
        c, o = inputs[0][0], self.channels // self.groups
        taps = self.kernel[0] * self.kernel[1]
        # PyTorch takes the fan-in from the second axis here too, and so draws the same range.
        return self.weight_and_bias((c, o, *self.kernel), o * taps, c // self.groups * taps, self.channels)

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """c·h·w · (o/g)·kh·kw."""
        c, h, w = inputs[0]
        return c * h * w * (self.channels // self.groups) * self.kernel[0] * self.kernel[1]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """c·h·w × (o/g)·kh·kw with the numbers."""
        c, h, w = inputs[0]
        return f"{c}·{h}·{w} × {self.channels // self.groups}·{self.kernel[0]}·{self.kernel[1]}"

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """The elements whose windows overlap here."""
        h, w = self.windows(inputs[0])
        return seen[0].spread(h.k, h.stride, h.out), seen[1].spread(w.k, w.stride, w.out)
