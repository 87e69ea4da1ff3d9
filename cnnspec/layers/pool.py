"""Pooling: each channel by itself, one number for every window (textbook 1.4)."""

from __future__ import annotations

from typing import Literal

from cnnspec.layers.base import Fields, Inferred, Layer, Shape, ShapeError, image, whole_field
from cnnspec.layers.fields import PaddingField, Size
from cnnspec.layers.geometry import Axis, Field, adaptive_bounds, pads_of, window
from cnnspec.layers.window import does_not_fit


class Pool(Layer):
    """Pooling with a sliding window."""

    main = "kernel"

    kernel: Size
    """Height and width of the window."""
    stride: Size | None = None
    """How far the window moves; by default by its own size."""
    padding: PaddingField = "valid"
    """Border around the image; a number is the total of both sides."""
    rounding: Literal["floor", "ceil"] = "floor"
    """Whether a last window that is only partly filled counts."""

    @property
    def moves(self) -> tuple[int, int]:
        """How far the window moves: the stride, or the window's own size."""
        return self.stride or self.kernel

    def windows(self, shape: Shape) -> tuple[Axis, Axis]:
        """The window over height and width."""
        stride = self.moves
        h, w = (
            window(shape[1 + i], self.kernel[i], stride[i], self.padding, i, ceil=self.rounding == "ceil")
            for i in (0, 1)
        )
        return h, w

    def infer(self, *inputs: Shape) -> Inferred:
        """[c, oh, ow] from [c, h, w]."""
        c, _, _ = image(self.kind, inputs[0])
        h, w = self.windows(inputs[0])
        if h.out < 1 or w.out < 1:
            raise does_not_fit(h, w)
        for axis in (h, w):
            if max(axis.before, axis.after) >= axis.kernel:
                raise ShapeError(
                    "invalid-value",
                    "a window would lie in the padding alone",
                    field="padding",
                    label=f"{max(axis.before, axis.after)} on one side of a window of {axis.kernel}",
                    remedies=(f"at most {axis.kernel - 1} on each side",),
                )
        return Inferred((c, h.out, w.out), pads_of(h, w), (h.overhang, w.overhang))

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """A window of fields."""
        h, w = self.windows(inputs[0])
        return seen[0].slide(h.k, h.stride, h.out), seen[1].slide(w.k, w.stride, w.out)


class MaxPool(Pool):
    """The largest number of each window.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - max_pool: {kernel: 2, stride: 2}

    Textbook 1.4.1; the padding never wins (it counts as −∞).
    """

    kind = "max_pool"
    kinked = True


class AvgPool(Pool):
    """The mean of each window.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - avg_pool: {kernel: 3, stride: 2, padding: same, count_padding: false}

    Textbook 1.4.1; rows beyond the padding, which ceil rounding may reach, are never counted.
    """

    kind = "avg_pool"

    count_padding: bool = True
    """Whether the zeros of the padding count in the mean."""


class GlobalPool(Layer):
    """Pooling over the whole image; what is left is a vector."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[c] from [c, h, w]."""
        c, _, _ = image(self.kind, inputs[0])
        return Inferred((c,))

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """Everything."""
        return whole_field(seen)


class GlobalAvgPool(GlobalPool):
    """The mean of each channel; the image becomes a vector.

    x [n, c, h, w] -> y [n, c]

        - global_avg_pool

    Lin et al. 2013 (Network in Network), section 3.2. To keep an image of 1×1, use `adaptive_avg_pool: 1`.
    """

    kind = "global_avg_pool"


class GlobalMaxPool(GlobalPool):
    """The largest number of each channel; the image becomes a vector.

    x [n, c, h, w] -> y [n, c]

        - global_max_pool
    """

    kind = "global_max_pool"
    kinked = True


class AdaptiveAvgPool(Layer):
    """The mean of windows that are laid out so that the output has a given size.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - adaptive_avg_pool: 6

    Window i reaches from ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉, as in PyTorch's AdaptiveAvgPool2d.
    """

    kind = "adaptive_avg_pool"
    main = "size"

    size: Size
    """Height and width of the output."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[c, oh, ow] from [c, h, w]."""
        c, _, _ = image(self.kind, inputs[0])
        return Inferred((c, *self.size))

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """The largest of the windows, or everything."""
        return _adapted(seen[0], inputs[0][1], shape[1]), _adapted(seen[1], inputs[0][2], shape[2])


def _adapted(seen: Field, n: int, out: int) -> Field:
    if out == 1:
        return seen.whole()
    reach = max(end - start for start, end in adaptive_bounds(n, out))
    return seen.slide(reach, max(1, n // out), out)
