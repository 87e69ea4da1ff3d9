"""Layers that rearrange numbers: enlarge, pad, cut, regroup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cnnspec.layers.axes import along_axes, check_mode, padding_along, spatial
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError, WithoutMacs, same_position
from cnnspec.layers.conv import divide
from cnnspec.layers.fields import Count, PaddingField, Range, Size
from cnnspec.layers.geometry import AXES, AXIS_NAMES, CHANNELS, Window, axes_of, centred_crop, window
from cnnspec.layers.named_axes import position
from cnnspec.layers.sampling import Mode, Sampling
from cnnspec.layers.window import check_border, covered_with_border, slide
from cnnspec.wording import format_shape, noun


class Rearranged(WithoutMacs):
    """Layers that repeat, move, add or drop numbers, and compute none."""

    family = "shape"
    elementwise = False
    monotone = False
    linear = True
    piecewise = False
    commutes_with_affine = True
    saves_input = False

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input."""
        return seen

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return what the windows cover where there are some, the same position where there are none."""
        if inferred.windows:
            return super().read_ranges(position, inputs, inferred)
        return same_position(position)


class Upsample(Rearranged):
    """The input enlarged by an integer factor.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - upsample: {scale: 2, mode: bilinear}

    `linear` (on images also called `bilinear`, on volumes `trilinear`) samples at half-pixel centres (PyTorch's
    align_corners=False).
    """

    kind = "upsample"
    precision = "float32"
    main = "scale"

    scale: Size
    """The factor along each axis."""
    mode: Literal["nearest", "linear", "bilinear", "trilinear"] = "nearest"
    """Repeat each number, or interpolate."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, h·scale, w·scale] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        check_mode(self.mode, len(sizes))
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

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the element that is repeated, or those that are interpolated."""
        mode: Mode = "nearest" if self.mode == "nearest" else "linear"
        axes = zip(position, inputs[0][1:], self.scales(inputs[0]), strict=True)
        return tuple(Sampling.by_scale(n, scale, "half_pixel").read_by(i, mode) for i, n, scale in axes)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the products."""
        sizes = zip(AXES[len(shape) - 1], inputs[0][1:], self.scales(shape), shape[1:], strict=True)
        return [(name, f"{n} · {scale} = {out}") for name, n, scale, out in sizes]


class Pad(Rearranged):
    """The input with a border: zeros (or another number), its mirror image, its outermost numbers, or its other side.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - pad: {padding: {each_side: 1}, mode: reflect}
    """

    kind = "pad"
    main = "padding"

    padding: PaddingField
    """The border; a number is the total of both sides."""
    mode: Literal["constant", "reflect", "edge", "circular"] = "constant"
    """What the border is filled with."""
    value: float = 0.0
    """The number that a constant border is filled with."""

    @property
    def saves_input(self) -> bool:  # type: ignore[override]
        """Whether the border is made of the input's numbers: PyTorch keeps it, and reads its shape alone."""
        return self.mode in ("reflect", "edge")

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
        check_border(self.mode, axes, inputs[0])
        return Inferred((inputs[0][0], *(axis.out for axis in axes)), windows)

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input, at as many positions as there are now."""
        return slide(seen, inferred)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the same position, or where a number of the border comes from."""
        axes = zip(inferred.windows, position, inputs[0][1:], strict=True)
        return tuple(covered_with_border(self.mode, window, i, n) for window, i, n in axes)

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
    views_input = True
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

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the differences."""
        sizes = zip(AXES[len(shape) - 1], inputs[0][1:], self.infer(*inputs).windows, strict=True)
        return [(name, f"{n} − {-axis.before} − {-axis.after} = {axis.out}") for name, n, axis in sizes]


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
    """Some of the channels, of the rows or of the columns: from the first up to, not including, the end.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - slice: [0, 6]

    `slice: {height: [0, 112], width: [0, 224, 2]}` takes rows 0 to 111 and every second column; the third number is
    the step. An axis that is not named stays whole.
    """

    kind = "slice"
    views_input = True
    main = "channels"

    channels: Range | None = None
    """[first, end) of the channels, counted from 0."""
    length: Range | None = None
    """[first, end) of a sequence."""
    depth: Range | None = None
    """[first, end) of the planes of a volume."""
    height: Range | None = None
    """[first, end) of the rows."""
    width: Range | None = None
    """[first, end) of the columns."""

    @property
    def selects_channels(self) -> bool:  # type: ignore[override]
        """Whether it is a range of channels alone."""
        ranges = self.ranges
        return ranges.keys() == {CHANNELS} and ranges[CHANNELS].step == 1

    @property
    def ranges(self) -> dict[str, range]:
        """What is taken of each axis that is named."""
        given = {name: getattr(self, name) for name in AXIS_NAMES}
        return {name: range(*numbers) for name, numbers in given.items() if numbers is not None}

    def parts(self, shape: Shape) -> tuple[slice, ...]:
        """Return the part of each axis of a sample of this shape."""
        ranges = self.ranges
        taken = [ranges.get(name) for name in axes_of(shape)]
        return tuple(slice(None) if r is None else slice(r.start, r.stop, r.step) for r in taken)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [o, oh, ow] for [c, h, w]."""
        if not self.ranges:
            remedies = ("`slice: [0, 1]`", "`slice: {height: [0, 2]}`")
            raise ShapeError("missing-key", "`{name}` names no axis", remedies=remedies)
        ranges = self.ranges
        sizes = list(inputs[0])
        for name, taken in ranges.items():
            place = position(name, inputs[0], name)
            sizes[place] = _taken(name, taken, inputs[0][place])
        if ranges.keys() == {CHANNELS}:
            return Inferred(tuple(sizes))
        axes = [*zip(axes_of(inputs[0]), inputs[0], strict=True)][1:]
        return Inferred(tuple(sizes), tuple(_part(ranges.get(name), n) for name, n in axes))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the ranges that are taken."""
        shown = []
        for name, taken in self.ranges.items():
            step = f" in steps of {taken.step}" if taken.step > 1 else ""
            shown.append((name, f"from {taken.start} up to, not including, {taken.stop}{step} = {len(taken)}"))
        return shown

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input, at the positions that are taken."""
        return slide(seen, inferred) if inferred.windows else seen


def _taken(name: str, taken: range, n: int) -> int:
    """Return how many of n elements a slice takes; raise ShapeError where it is empty or reaches beyond them."""
    first, end = taken.start, taken.stop
    one = {"channels": "channel", "length": "element", "depth": "plane", "height": "row", "width": "column"}[name]
    if not taken:
        raise ShapeError(
            "cut-to-nothing",
            f"no {one} lies from {first} up to {end}",
            field=name,
            label="is empty: the end is not included",
            remedies=(f"`[{first}, {first + 1}]` is {one} {first} alone",),
        )
    if end > n:
        raise ShapeError(
            "size-too-large",
            f"a slice up to {end} of {n} {one}s",
            field=name,
            label=f"there are {n} {one}s, 0 to {n - 1}",
            remedies=(f"an end of at most {n}",),
            larger_input=name != CHANNELS,
        )
    return len(taken)


def _part(taken: range | None, n: int) -> Window:
    """Return the window that takes a part of an axis: one element, moved by the step, with what is cut as padding."""
    taken = range(n) if taken is None else taken
    return window(n, 1, taken.step, (-taken.start, taken[-1] + 1 - n)).resolved
