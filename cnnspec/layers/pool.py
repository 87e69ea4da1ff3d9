"""Pooling: one number for every window of each channel (textbook 1.4)."""

from __future__ import annotations

import math
from typing import Literal

from cnnspec.layers.axes import along_axes, padding_along, spatial
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError, WithoutMacs, whole_field
from cnnspec.layers.fields import Count, PaddingField, Size
from cnnspec.layers.geometry import AXES, Axis, adaptive_window, window
from cnnspec.layers.window import does_not_fit, slide
from cnnspec.wording import product


class Pool(WithoutMacs):
    """Pooling with a sliding window."""

    family = "pool"
    elementwise = False
    monotone = False
    commutes_with_affine = True

    main = "kernel"

    kernel: Size
    """Size of the window."""
    stride: Size | None = None
    """Step of the window; by default its own size."""
    padding: PaddingField = "valid"
    """Border around the input; a number is the total of both sides."""
    dilation: Size = 1
    """Distance between the taps of the window."""
    rounding: Literal["floor", "ceil"] = "floor"
    """Whether a last window that is only partly filled is left out (floor) or kept (ceil)."""

    @property
    def size_rule(self) -> str:  # type: ignore[override]
        """The size along an axis, rounded down or up."""
        return "⌈(n − k + p + s) / s⌉" if self.rounding == "ceil" else "⌊(n − k + p + s) / s⌋"

    def window_axes(self, shape: Shape) -> tuple[Axis, ...]:
        """Return the window along each axis; it moves by its own size where no stride is given."""
        rank, ceil = len(shape) - 1, self.rounding == "ceil"
        kernel = along_axes(self.kernel, rank, "kernel")
        stride = kernel if self.stride is None else along_axes(self.stride, rank, "stride")
        padding, dilation = padding_along(self.padding, rank), along_axes(self.dilation, rank, "dilation")
        axes = zip(shape[1:], kernel, stride, padding, dilation, strict=True)
        return tuple(window(n, k, s, pads, d, ceil) for n, k, s, pads, d in axes)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, oh, ow] for [c, h, w]."""
        spatial(self.kind, inputs[0])
        axes = self.window_axes(inputs[0])
        windows = tuple([axis.resolved for axis in axes])
        out = [window.out for window in windows]
        if min(out) < 1:
            raise does_not_fit(axes)
        for axis in axes:
            if max(axis.before, axis.after) >= axis.k or _lies_in_padding(axis):
                raise ShapeError(
                    "invalid-value",
                    "a window would lie in the padding alone",
                    field="padding",
                    label=f"{max(axis.before, axis.after)} on one side of a window of {axis.k}",
                    remedies=(f"at most {axis.k - 1} on each side",) if axis.dilation == 1 else (),
                )
        return Inferred((inputs[0][0], *out), windows)

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the window."""
        return slide(seen, inferred)


def _lies_in_padding(axis: Axis) -> bool:
    """Whether a window has no tap on the input, though it spans some of it: the taps of a dilated one have gaps."""
    window = axis.resolved
    return axis.dilation > 1 and any(window.counted(i, axis.n, padding=False) == 0 for i in range(window.out))


class MaxPool(Pool):
    """The largest number of each window.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - max_pool: {kernel: 2, stride: 2}

    Textbook 1.4.1; the padding never wins (it counts as −∞).
    """

    kind = "max_pool"
    takes_maximum = True
    linear = False
    piecewise = True

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the places of the maxima, as 64-bit integers."""
        return 8 * math.prod(inferred.shape)


class AvgPool(Pool):
    """The mean of each window.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - avg_pool: {kernel: 3, stride: 2, padding: same, count_padding: false}

    Textbook 1.4.1; rows beyond the padding, which ceil rounding may reach, are never counted.
    """

    kind = "avg_pool"
    linear = True
    piecewise = False

    count_padding: bool = True
    """Whether the zeros of the padding count in the mean."""

    @property
    def pads_with_zeros(self) -> bool:  # type: ignore[override]
        """Whether they do."""
        return self.count_padding


class LpPool(Pool):
    """The p-norm of each window: the p-th root of the sum of all |x| to the power of p.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - lp_pool: {kernel: 2, p: 2}

    As ONNX's LpPool; PyTorch's LPPool2d takes no absolute value, which differs for an odd p. The padding is zeros.
    """

    kind = "lp_pool"
    linear = False
    piecewise = True
    saves_input = False
    saves_output = True
    precision = "float32"
    commutes_with_affine = False
    pads_with_zeros = True

    p: Count = 2
    """The exponent: 1 is the sum of absolute values, 2 the Euclidean norm."""

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the numbers of all windows."""
        return math.prod((*inferred.shape, *(window.kernel for window in inferred.windows))) * itemsize


class GlobalPool(WithoutMacs):
    """Pooling over all positions; the output is a vector."""

    family = "pool"
    elementwise = False
    monotone = False
    commutes_with_affine = True

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c] for [c, h, w]."""
        spatial(self.kind, inputs[0])
        return Inferred(inputs[0][:1])

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return how many positions become one number."""
        return [("length", f"one number for each of {shape[0]} channels, of {product(inputs[0][1:])} positions")]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of every position."""
        return whole_field(seen)


class GlobalAvgPool(GlobalPool):
    """The mean of each channel; the image becomes a vector.

    x [n, c, h, w] -> y [n, c]

        - global_avg_pool

    Lin et al. 2013 (Network in Network), section 3.2. To keep an image of 1×1, use `adaptive_avg_pool: 1`.
    """

    kind = "global_avg_pool"
    linear = True
    piecewise = False
    saves_input = False


class GlobalMaxPool(GlobalPool):
    """The largest number of each channel; the image becomes a vector.

    x [n, c, h, w] -> y [n, c]

        - global_max_pool
    """

    kind = "global_max_pool"
    takes_maximum = True
    linear = False
    piecewise = True

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the places of the maxima, as 64-bit integers."""
        return 8 * math.prod(inferred.shape)


class AdaptivePool(WithoutMacs):
    """Pooling with windows that are chosen so that the output has a given size."""

    main = "size"
    family = "pool"
    elementwise = False
    monotone = False
    commutes_with_affine = True

    size: Size
    """Size of the output."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, oh, ow] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        out = along_axes(self.size, len(sizes), "size")
        return Inferred((inputs[0][0], *out), tuple(map(adaptive_window, sizes, out)))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the sizes, and what the windows span."""
        sizes, windows = inputs[0][1:], self.infer(*inputs).windows
        axes = zip(AXES[len(sizes)], sizes, windows, strict=True)
        return [(name, f"{w.out} windows of at most {w.kernel} of {n} = {w.out}") for name, n, w in axes]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the largest window, or of every position where there is one window alone."""
        return tuple(
            field.whole() if window.out == 1 else field.slide(window.span, window.stride, window.out)
            for field, window in zip(seen, inferred.windows, strict=True)
        )


class AdaptiveAvgPool(AdaptivePool):
    """The mean of windows that are chosen so that the output has a given size.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - adaptive_avg_pool: 6

    Window i reaches from ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉, as in PyTorch's AdaptiveAvgPool2d.
    """

    kind = "adaptive_avg_pool"
    linear = True
    piecewise = False

    @property
    def saves_input(self) -> bool:  # type: ignore[override]
        """Whether there are several windows; PyTorch computes the mean of everything without keeping the input."""
        return any(size != 1 for size in (self.size if isinstance(self.size, tuple) else (self.size,)))


class AdaptiveMaxPool(AdaptivePool):
    """The largest number of windows that are chosen so that the output has a given size.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - adaptive_max_pool: 6

    The windows are those of adaptive_avg_pool.
    """

    kind = "adaptive_max_pool"
    takes_maximum = True
    linear = False
    piecewise = True

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the places of the maxima, as 64-bit integers."""
        return 8 * math.prod(inferred.shape)
