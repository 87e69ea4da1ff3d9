"""Layers that rearrange numbers: enlarge, pad, cut, regroup."""

from __future__ import annotations

from typing import Literal

from cnnspec.layers.axes import along_axes, padding_along, spatial
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError, WithoutMacs
from cnnspec.layers.conv import divide
from cnnspec.layers.fields import Count, PaddingField, Range, Size
from cnnspec.layers.geometry import AXES, centred_crop, window
from cnnspec.layers.window import slide
from cnnspec.wording import format_shape, noun


class Rearranged(WithoutMacs):
    """Layers that repeat, move, add or drop numbers, and compute none."""

    elementwise = False
    monotone = False
    linear = True
    piecewise = False
    commutes_with_affine = True

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input."""
        return seen


class Upsample(Rearranged):
    """The input enlarged by an integer factor.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - upsample: {scale: 2, mode: bilinear}

    `linear` (on images also called `bilinear`, on volumes `trilinear`) samples at half-pixel centres (PyTorch's
    align_corners=False).
    """

    kind = "upsample"
    main = "scale"

    scale: Size
    """The factor along each axis."""
    mode: Literal["nearest", "linear", "bilinear", "trilinear"] = "nearest"
    """Repeat each number, or interpolate."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, h·scale, w·scale] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        if (rank := _INTERPOLATED_AXES.get(self.mode, len(sizes))) != len(sizes):
            raise ShapeError(
                "wrong-rank",
                f"`{self.mode}` interpolates {rank} axes, and the input of `{{name}}` has {len(sizes)}",
                field="mode",
                remedies=("`linear`",),
            )
        return Inferred((inputs[0][0], *(n * scale for n, scale in zip(sizes, self.scales(inputs[0]), strict=True))))

    def scales(self, shape: Shape) -> tuple[int, ...]:
        """Return the factor along each spatial axis of an input (or output) of this shape."""
        return along_axes(self.scale, len(shape) - 1, "scale")

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of one element, or of the two that are interpolated."""
        scales = self.scales(inferred.shape)
        kernel = [scale if self.mode == "nearest" or scale == 1 else 2 * scale for scale in scales]
        axes = zip(seen, kernel, scales, inferred.shape[1:], strict=True)
        return tuple(field.transposed(k, scale, n) for field, k, scale, n in axes)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the products."""
        sizes = zip(AXES[len(shape) - 1], inputs[0][1:], self.scales(shape), shape[1:], strict=True)
        return [(name, f"{n} · {scale} = {out}") for name, n, scale, out in sizes]


_INTERPOLATED_AXES = {"bilinear": 2, "trilinear": 3}


class Pad(Rearranged):
    """The input with a border of zeros (or another number), of its mirror image, or of its outermost numbers.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - pad: {padding: {each_side: 1}, mode: reflect}
    """

    kind = "pad"
    main = "padding"

    padding: PaddingField
    """The border; a number is the total of both sides."""
    mode: Literal["constant", "reflect", "edge"] = "constant"
    """What the border is filled with."""
    value: float = 0.0
    """The number that a constant border is filled with."""

    @property
    def commutes_with_affine(self) -> bool:  # type: ignore[override]
        """Whether the border repeats numbers of the image."""
        return self.mode != "constant"

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, h + top + bottom, w + left + right] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        if isinstance(self.padding, str):
            raise ShapeError(
                "invalid-value",
                f"`padding: {self.padding}` means nothing without a window",
                field="padding",
                label="takes numbers here",
            )
        pads = padding_along(self.padding, len(sizes))
        axes = [window(n, 1, 1, pad) for n, pad in zip(sizes, pads, strict=True)]
        windows = tuple(axis.resolved for axis in axes)
        found = Inferred((inputs[0][0], *(axis.out for axis in axes)), windows)
        if self.mode == "reflect" and any(max(axis.before, axis.after) >= axis.n for axis in axes):
            near = zip(sizes, AXES[len(sizes)], strict=True)
            raise ShapeError(
                "size-too-large",
                f"a mirror image cannot be wider than the {noun(inputs[0])}",
                field="padding",
                label=f"pads {found.pads}, of a {format_shape(sizes)} {noun(inputs[0])}",
                remedies=(f"at most {' and '.join(f'{n - 1} in {axis}' for n, axis in near)} on each side",),
                larger_input=True,
            )
        return found

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input, at as many positions as there are now."""
        return slide(seen, inferred)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the sums."""
        sizes = zip(AXES[len(shape) - 1], inputs[0][1:], self.infer(*inputs).windows, strict=True)
        return [(name, f"{axis.before} + {n} + {axis.after} = {axis.out}") for name, n, axis in sizes]


class Crop(Rearranged):
    """The middle of the input.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - crop: [12, 12]

    `crop: {like: name}` takes the size of the layer of that name. As much is cut before as after; an odd rest is cut
    after. Ronneberger et al. 2015 (U-Net) crop their skips so.
    """

    kind = "crop"
    main = "size"
    like = "size"

    size: Size
    """Size of what is kept."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, *size] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        kept = along_axes(self.size, len(sizes), "size")
        if any(size > n for size, n in zip(kept, sizes, strict=True)):
            raise ShapeError(
                "size-too-large",
                f"a crop cannot be larger than the {noun(inputs[0])}",
                field="size",
                label=f"{format_shape(kept)} of a {format_shape(sizes)} {noun(inputs[0])}",
                remedies=(f"at most {list(sizes)}",),
                larger_input=True,
            )
        return Inferred((inputs[0][0], *kept), tuple(map(centred_crop, sizes, kept)))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input, at as many positions as there are now."""
        return slide(seen, inferred)


class ChannelShuffle(Rearranged):
    """The channels of all groups interleaved, so that the next groups mix them.

    x [n, c, h, w] -> y [n, c, h, w]

        - channel_shuffle: 2

    Zhang et al. 2017 (ShuffleNet): channel i of the output is channel (i mod g)·(c/g) + ⌊i/g⌋ of the input.
    """

    kind = "channel_shuffle"
    main = "groups"

    groups: Count
    """Number of groups."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        spatial(self.kind, inputs[0])
        divide(self.groups, (inputs[0][0], "channels"))
        return Inferred(inputs[0])


class Slice(Rearranged):
    """Some of the channels: from the first up to, not including, the end.

    x [n, c, ...] -> y [n, o, ...]

        - slice: [0, 6]
    """

    kind = "slice"
    selects_channels = True
    main = "channels"

    channels: Range
    """[first, end), counted from 0."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [end − first, ...] for [c, ...]."""
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
