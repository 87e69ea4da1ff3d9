"""One number along some axes: their mean, maximum, minimum or sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cnnspec.layers.base import Fields, Inferred, Precision, Shape, WithoutMacs
from cnnspec.layers.geometry import axes_of
from cnnspec.layers.named_axes import AxesField, positions


class Reduce(WithoutMacs):
    """The mean (or maximum, minimum, sum) along some axes, which stay with size one.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - reduce: {axes: channels, mode: max}

    The spatial attention of Woo et al. 2018 (CBAM) reads the mean and the maximum of the channels at each position. As
    the axes stay, `subtract`, `multiply` and the other merges that broadcast take the result beside its input. Equal
    largest (or smallest) numbers share the gradient.
    """

    kind = "reduce"
    main = "axes"
    family = "pool"
    elementwise = False
    monotone = False

    axes: AxesField
    """The axes: channels, all, or a list of axes such as [height, width]."""
    mode: Literal["mean", "max", "min", "sum"] = "mean"
    """What is computed of the numbers along the axes."""

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether it is a mean or a sum."""
        return self.mode in ("mean", "sum")

    @property
    def saves_input(self) -> bool:  # type: ignore[override]
        """Whether it is one of the numbers."""
        return not self.linear

    @property
    def saves_output(self) -> bool:  # type: ignore[override]
        """Whether it is one of the numbers."""
        return not self.linear

    @property
    def precision(self) -> Precision:  # type: ignore[override]
        """At least float32 for a sum."""
        return "float32" if self.mode == "sum" else "input"

    @property
    def piecewise(self) -> bool:  # type: ignore[override]
        """Whether it is one of the numbers."""
        return not self.linear

    def positions(self, shape: Shape) -> tuple[int, ...]:
        """Return the places of the axes in the shape of a sample."""
        return positions(self.axes, shape)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input, with 1 along the axes."""
        reduced = self.positions(inputs[0])
        return Inferred(tuple(1 if i in reduced else n for i, n in enumerate(inputs[0])))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the axes that become one number."""
        own = axes_of(inputs[0])
        return [(own[i], f"the {self.mode} of {inputs[0][i]} = 1") for i in self.positions(inputs[0])]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of every position along the axes."""
        reduced = self.positions(inputs[0])
        return tuple(field.whole() if 1 + i in reduced else field for i, field in enumerate(seen))

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return every position along the axes that are reduced, the same along the others."""
        reduced = self.positions(inputs[0])
        sizes = zip(position, inputs[0][1:], strict=True)
        return tuple(range(n) if 1 + axis in reduced else range(i, i + 1) for axis, (i, n) in enumerate(sizes))
