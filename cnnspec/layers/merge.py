"""Merges: layers that join several branches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError, WithoutMacs, same_position, whole_field
from cnnspec.layers.geometry import CHANNELS, AxisName, axes_of
from cnnspec.layers.named_axes import position
from cnnspec.wording import a_noun, format_shape, product


class Merge(WithoutMacs):
    """A layer over several branches."""

    family = "merge"
    arity = None
    elementwise = False
    monotone = False
    piecewise = False

    broadcasts: ClassVar[bool] = False
    """Whether axes of size one are repeated, and a vector over the channels stands for every position."""
    joins_channels: ClassVar[bool] = False
    """Whether the branches may differ in their channels."""

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the branches together."""
        return seen

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the same position, of every branch."""
        return same_position(position)

    def _differ(self, index: int, a: Shape, b: Shape, rule: str) -> ShapeError:
        return ShapeError(
            "shapes-differ",
            f"`{{name}}` joins {format_shape(a)} with {format_shape(b)}",
            label=rule,
            notes=_differences(self, a, b),
            input_index=index,
        )


def _usual(shapes: Iterable[Shape]) -> Shape:
    """Return the shape that most branches have; the first where none is in the majority."""
    return Counter(shapes).most_common(1)[0][0]


def _differences(merge: Merge, a: Shape, b: Shape) -> tuple[str, ...]:
    if len(a) != len(b):
        if merge.broadcasts and 1 in (len(a), len(b)):
            return (f"channels: {a[0]} and {b[0]}",)
        return (f"one is {a_noun(a)}, the other {a_noun(b)}",)
    names = axes_of(a) if len(a) > 1 else ("length",)
    axes = [*zip(names, a, b, strict=True)][1 if merge.joins_channels else 0 :]
    return tuple(f"{name}: {m} and {n}" for name, m, n in axes if m != n and not (merge.broadcasts and 1 in (m, n)))


class Add(Merge):
    """The sum of the branches, element by element.

    x [n, c, ...] -> y [n, c, ...]

        - add:
            main: [conv: {channels: 12, kernel: 3, padding: same}]
            skip: []

    He et al. 2015 (ResNet); all branches have one shape.
    """

    kind = "add"
    linear = True
    saves_input = False
    sums_inputs = True

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape that all branches have."""
        if len(set(inputs)) > 1:
            usual = _usual(inputs)
            i, odd = next((i, shape) for i, shape in enumerate(inputs) if shape != usual)
            raise self._differ(i, usual, odd, "all branches must have one shape")
        return Inferred(inputs[0])


class Broadcast(Merge):
    """A function of the numbers at one place in every branch; axes of size one are repeated."""

    broadcasts = True

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the largest shape, to which axes of size one are broadcast."""
        rank = max(map(len, inputs))
        full = [(*shape, *[1] * (rank - len(shape))) for shape in inputs]
        target = tuple(map(max, *full))
        for i, shape in enumerate(full):
            if any(n not in (1, m) for n, m in zip(shape, target, strict=True)):
                others = [s for j, s in enumerate(inputs) if j != i]
                biggest = next((s for s in others if (*s, *[1] * (rank - len(s))) == target), others[0])
                raise self._differ(i, biggest, inputs[i], "all branches must have one shape, but for axes of size one")
        return Inferred(target)


class Multiply(Broadcast):
    """The product of the branches, element by element; a gate of 1×1 (or a vector over the channels) is broadcast.

    x [n, c, h, w] -> y [n, c, h, w]

        - multiply:
            main: []
            gate: [adaptive_avg_pool: 1, conv: {channels: 12, kernel: 1, activation: sigmoid}]

    Hu et al. 2017 (Squeeze-and-Excitation).
    """

    kind = "multiply"
    linear = False


class Subtract(Broadcast):
    """The first branch less the others, element by element; broadcast as by `multiply`.

    x [n, c, ...] -> y [n, c, ...]

        - subtract: {x: [], mean: [global_avg_pool]}
    """

    kind = "subtract"
    linear = True
    saves_input = False


class Divide(Broadcast):
    """The first branch divided by the others, element by element; broadcast as by `multiply`.

    x [n, c, ...] -> y [n, c, ...]

        - divide: {x: [], by: [abs, global_max_pool]}

    A division by zero is ±∞, or no number (NaN) where both are zero.
    """

    kind = "divide"
    linear = False


class Maximum(Broadcast):
    """The largest number of the branches at each place; broadcast as by `multiply`.

    x [n, c, ...] -> y [n, c, ...]

        - maximum:
            a: [conv: {channels: 12, kernel: 1}]
            b: [conv: {channels: 12, kernel: 1}]

    Goodfellow et al. 2013 (maxout). Two equal numbers get half of the gradient each.
    """

    kind = "maximum"
    linear = False
    piecewise = True


class Minimum(Broadcast):
    """The smallest number of the branches at each place; broadcast as by `multiply`.

    x [n, c, ...] -> y [n, c, ...]

        - minimum: {a: [], b: [sigmoid]}

    Two equal numbers get half of the gradient each.
    """

    kind = "minimum"
    linear = False
    piecewise = True


class Mean(Broadcast):
    """The mean of the branches, element by element; broadcast as by `multiply`.

    x [n, c, ...] -> y [n, c, ...]

        - mean: {a: [avg_pool: {kernel: 3, stride: 1, padding: same}], b: []}
    """

    kind = "mean"
    linear = True
    saves_input = False


class Matmul(Merge):
    """The matrix product of two branches, over their last two axes.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - matmul:
            a: [softmax: width]
            b: [conv: {channels: 12, kernel: 1}]

    The last axis of the first branch and the last but one of the second have one size. The axes before them, such as
    the channels of images, are alike or of size one; where one branch has fewer axes, its matrices serve all of the
    other's: [4, 6, 5] by [4, 5, 3], [1, 5, 3] or [5, 3] is [4, 6, 3].
    """

    kind = "matmul"
    linear = False
    precision = "format"
    mac_rule = "each number of the output is a sum of as many products as the first branch has columns"

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [..., h, o] for [..., h, w] and [..., w, o]."""
        if len(inputs) != 2:
            raise ShapeError(
                "invalid-value",
                f"`{{name}}` multiplies two branches, and has {len(inputs)}",
                label="one too many",
                remedies=("one `matmul` in a branch of another",),
                input_index=2,
            )
        for i, shape in enumerate(inputs):
            if len(shape) < 2:
                raise ShapeError(
                    "shapes-differ",
                    f"`{{name}}` multiplies matrices, and gets a flat vector of {shape[0]}",
                    label="needs two axes or more",
                    remedies=("a branch that is not flattened",),
                    input_index=i,
                )
        a, b = inputs
        if a[-1] != b[-2]:
            needed = format_shape((*b[:-2], a[-1], b[-1]))
            raise self._unfit(a, b, f"columns of the first: {a[-1]}; rows of the second: {b[-2]}", needed)
        rank = max(len(a), len(b)) - 2
        before, behind = ((*[1] * (rank + 2 - len(shape)), *shape[:-2]) for shape in (a, b))
        if any(m != n and 1 not in (m, n) for m, n in zip(before, behind, strict=True)):
            needed = format_shape((*a[:-2], *b[-2:]))
            raise self._unfit(a, b, f"axes before the matrices: {list(a[:-2])} and {list(b[:-2])}", needed)
        return Inferred((*map(max, before, behind), a[-2], b[-1]))

    def _unfit(self, a: Shape, b: Shape, note: str, needed: str) -> ShapeError:
        return ShapeError(
            "shapes-differ",
            f"`{{name}}` multiplies {format_shape(a)} by {format_shape(b)}",
            label="the columns of the first are as many as the rows of the second, and the axes before them alike",
            notes=(note,),
            remedies=(f"{needed} as the second branch",),
            input_index=1,
        )

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return w for each number of the output."""
        return math.prod(shape) * inputs[0][-1]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return output × w with the numbers."""
        return f"{product(shape)} × {inputs[0][-1]}"

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of every position."""
        return whole_field(seen)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return every position."""
        return tuple(map(range, inputs[0][1:]))


class Concat(Merge):
    """The channels of all branches, one branch after the other.

    x [n, c, ...] -> y [n, o, ...]

        - concat:
            one: [conv: {channels: 4, kernel: 1}]
            three: [conv: {channels: 8, kernel: 3, padding: same}]

    Szegedy et al. 2014 (GoogLeNet); heights and widths are alike. `axis: width` (or another) joins along that axis:
    the sizes along all others are alike.
    """

    kind = "concat"
    linear = True
    saves_input = False

    axis: AxisName = "channels"
    """The axis along which the branches are joined."""

    @property
    def joins_channels(self) -> bool:  # type: ignore[override]
        """Whether that is the channels."""
        return self.axis == CHANNELS

    def position(self, shape: Shape) -> int:
        """Return the place of the axis in the shape of a sample."""
        return position(self.axis, shape, "axis")

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the branches, with the sum of their sizes along the axis."""
        place = self.position(inputs[0])
        others = [(*shape[:place], *shape[place + 1 :]) for shape in inputs]
        usual = _usual(others)
        if len(set(others)) > 1:
            i = next(i for i, other in enumerate(others) if other != usual)
            rule = "one height and width" if self.joins_channels else f"one shape, but for their {self.axis}"
            raise self._differ(i, inputs[others.index(usual)], inputs[i], f"all branches must have {rule}")
        total = sum(shape[place] for shape in inputs)
        return Inferred((*inputs[0][:place], total, *inputs[0][place + 1 :]))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the sum."""
        place = self.position(shape)
        return [(self.axis, f"{' + '.join(str(s[place]) for s in inputs)} = {shape[place]}")]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the branches together; along the axis, positions are those of one branch or another."""
        return seen if self.joins_channels else ()
