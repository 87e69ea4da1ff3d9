"""Layers that move numbers about: larger, smaller, padded, cut, regrouped."""

from __future__ import annotations

from typing import Literal

from cnnspec.layers.base import Fields, Inferred, Layer, Shape, ShapeError, image
from cnnspec.layers.conv import divide
from cnnspec.layers.fields import Count, PaddingField, Range, Size
from cnnspec.layers.geometry import Pads, pads_of, window
from cnnspec.wording import by


class Upsample(Layer):
    """The image enlarged by a whole factor.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - upsample: {scale: 2, mode: bilinear}

    `bilinear` samples at half-pixel centres (PyTorch's align_corners=False).
    """

    kind = "upsample"
    main = "scale"

    scale: Size
    """The factors for height and width."""
    mode: Literal["nearest", "bilinear"] = "nearest"
    """Repeat each number, or interpolate."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[c, h·scale, w·scale] from [c, h, w]."""
        c, h, w = image(self.kind, inputs[0])
        return Inferred((c, h * self.scale[0], w * self.scale[1]))

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """One element, or the two that are interpolated."""
        k = [scale if self.mode == "nearest" or scale == 1 else 2 * scale for scale in self.scale]
        h, w = (seen[i].spread(k[i], self.scale[i], shape[1 + i]) for i in (0, 1))
        return h, w

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """The products."""
        _, h, w = inputs[0]
        return [("height", f"{h} · {self.scale[0]} = {shape[1]}"), ("width", f"{w} · {self.scale[1]} = {shape[2]}")]


class Pad(Layer):
    """The image with a border of zeros (or another number), of its mirror image, or of its outermost numbers.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - pad: {padding: {each_side: 1}, mode: reflect}
    """

    kind = "pad"
    main = "padding"

    padding: PaddingField
    """The border; a number is the total of both sides."""
    mode: Literal["constant", "reflect", "edge"] = "constant"
    """What the border holds."""
    value: float = 0.0
    """The number in a constant border."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[c, h + top + bottom, w + left + right] from [c, h, w]."""
        c, h, w = image(self.kind, inputs[0])
        if isinstance(self.padding, str):
            raise ShapeError(
                "invalid-value",
                f"`padding: {self.padding}` means nothing without a window",
                field="padding",
                label="takes numbers here",
            )
        pads: Pads = pads_of(*(window(n, 1, 1, self.padding, i) for i, n in enumerate((h, w))))
        if self.mode == "reflect" and (max(pads.top, pads.bottom) >= h or max(pads.left, pads.right) >= w):
            raise ShapeError(
                "size-too-large",
                "a mirror image cannot be wider than the image",
                field="padding",
                label=f"pads {pads}, of a {h}×{w} image",
                remedies=(f"at most {h - 1} rows and {w - 1} columns on each side",),
                larger_input=True,
            )
        return Inferred((c, h + pads.top + pads.bottom, w + pads.left + pads.right), pads)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """The sums."""
        _, h, w = inputs[0]
        pads = self.infer(*inputs).pads or Pads(0, 0, 0, 0)
        return [
            ("height", f"{pads.top} + {h} + {pads.bottom} = {shape[1]}"),
            ("width", f"{pads.left} + {w} + {pads.right} = {shape[2]}"),
        ]

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """What it was, at more places."""
        return seen[0].slide(1, 1, shape[1]), seen[1].slide(1, 1, shape[2])


class Crop(Layer):
    """The middle of the image.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - crop: [12, 12]

    As much is cut before as after; an odd rest is cut after. Ronneberger et al. 2015 (U-Net) crop their skips so.
    """

    kind = "crop"
    main = "size"

    size: Size
    """Height and width of what is kept."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[c, *size] from [c, h, w]."""
        c, h, w = image(self.kind, inputs[0])
        if self.size[0] > h or self.size[1] > w:
            raise ShapeError(
                "size-too-large",
                "a crop cannot be larger than the image",
                field="size",
                label=f"{by(self.size)} of a {h}×{w} image",
                remedies=(f"at most [{h}, {w}]",),
                larger_input=True,
            )
        return Inferred((c, *self.size))

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """What it was, at fewer places."""
        return seen[0].slide(1, 1, shape[1]), seen[1].slide(1, 1, shape[2])


class ChannelShuffle(Layer):
    """The channels of all groups dealt out in turn, so that the next groups mix them.

    x [n, c, h, w] -> y [n, c, h, w]

        - channel_shuffle: 2

    Zhang et al. 2017 (ShuffleNet): channel i of the output is channel (i mod g)·(c/g) + ⌊i/g⌋ of the input.
    """

    kind = "channel_shuffle"
    main = "groups"

    groups: Count
    """How many groups there are."""

    def infer(self, *inputs: Shape) -> Inferred:
        """The shape of the input."""
        c, _, _ = image(self.kind, inputs[0])
        divide(self.groups, (c, "channels"))
        return Inferred(inputs[0])


class Slice(Layer):
    """Some of the channels: from the first up to, not including, the end.

    x [n, c, ...] -> y [n, o, ...]

        - slice: [0, 6]
    """

    kind = "slice"
    main = "channels"

    channels: Range
    """[first, end), counted from 0."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[end − first, ...] from [c, ...]."""
        first, end = self.channels
        c = inputs[0][0]
        if first >= end:
            raise ShapeError(
                "cut-to-nothing",
                f"no channel lies from {first} up to {end}",
                field="channels",
                label="is empty: the end is not included",
                remedies=(f"`[{first}, {first + 1}]` is channel {first} alone",),
            )
        if end > c:
            raise ShapeError(
                "size-too-large",
                f"a slice up to {end} of {c} channels",
                field="channels",
                label=f"there are {c} channels, 0 to {c - 1}",
                remedies=(f"an end of at most {c}",),
            )
        return Inferred((end - first, *inputs[0][1:]))
