"""Layers that give the same numbers another shape, or another order of the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.axes import along_axes, spatial
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError
from cnnspec.layers.conv import divisors
from cnnspec.layers.fields import Size, fault
from cnnspec.layers.geometry import AXES, AXIS_NAMES, CHANNELS, MOST_SIZES, axes_of
from cnnspec.layers.named_axes import axis_names
from cnnspec.layers.shape import Rearranged
from cnnspec.wording import a_noun, describe, format_shape, names, product

INFERRED = -1


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_SIZES:
        raise fault("wrong-type", f"takes a list of one to {MOST_SIZES} sizes, not {describe(value)}")
    for i, size in enumerate(value):
        if isinstance(size, bool) or not isinstance(size, int):
            raise fault("wrong-type", f"takes whole numbers, not {describe(size)}", i)
        if size < 1 and size != INFERRED:
            raise fault("invalid-value", f"takes sizes of at least 1, or {INFERRED} for what is left, not {size}", i)
    if value.count(INFERRED) > 1:
        raise fault("invalid-value", f"takes one {INFERRED} at most", len(value) - 1 - value[::-1].index(INFERRED))
    return tuple(value)


_SIZE: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": INFERRED}]}

NewShape = Annotated[
    tuple[int, ...],
    PlainValidator(_sizes),
    PlainSerializer(list),
    WithJsonSchema({"type": "array", "items": _SIZE, "minItems": 1, "maxItems": MOST_SIZES}),
]
"""Channels and spatial sizes, one of which may be −1."""


Split = tuple[tuple[int, ...], tuple[int, ...]]
"""The sizes of an input's axes after some are split, and their order in the output; the batch is not among them."""


class Reordered(Rearranged):
    """Layers that split axes, put them in another order, and join them."""

    def split(self, shape: Shape) -> Split:
        """Return the sizes of the split axes of an input of this shape, and their order in the output."""
        return shape, tuple(range(len(shape)))


class Reshape(Reordered):
    """The same numbers in another shape, in their order; a size of -1 is what is left.

    x [n, f] -> y [n, c, h, w]

        - reshape: [2, 3, -1]

    The only way from a vector to an image. The numbers are read channel by channel and row by row, as `flatten` does.
    """

    kind = "reshape"
    views_input = True
    main = "shape"

    shape: NewShape
    """The new shape, without the batch: channels, then up to three spatial sizes."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the new shape, with the size that is left in place of −1."""
        size = math.prod(inputs[0])
        given = math.prod(n for n in self.shape if n != INFERRED)
        if size % given or (INFERRED not in self.shape and size != given):
            others = product([n for n in self.shape if n != INFERRED])
            raise ShapeError(
                "sizes-do-not-match",
                f"`{{name}}` gets {size} numbers, which do not fill {format_shape(self.shape)}",
                field="shape",
                label=f"{others} = {given}" if INFERRED not in self.shape else f"{size} / {given} is not whole",
                remedies=_remedies(self.shape, size),
            )
        return Inferred(tuple(size // given if n == INFERRED else n for n in self.shape))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input where positions stay what they are; elsewhere it is unknown."""
        return seen if inferred.shape[1:] == inputs[0][1:] or len(inferred.shape) == 1 else ()

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the product."""
        return [("numbers", f"{product(inputs[0])} = {product(shape)}")]


def _remedies(shape: Shape, count: int) -> tuple[str, ...]:
    """Return shapes with `count` numbers: with the same channels and positions as near to a square as they go, first.

    Others differ from this one in one size.
    """
    others = _fitting(shape, count)
    if len(shape) == 3 and INFERRED not in shape and count % shape[0] == 0:
        positions = count // shape[0]
        height = max(n for n in divisors(positions) if n * n <= positions)
        if height > 1:
            return tuple(dict.fromkeys((f"`{[shape[0], height, positions // height]}`", *others)))[:2]
    return others or _fitting((*shape[:-1], INFERRED), count)


def _fitting(shape: Shape, count: int) -> tuple[str, ...]:
    """Return the shapes with `count` numbers that differ from this one in one size, the nearest first, at most two."""
    found = []
    for i, size in enumerate(shape):
        others = math.prod(n for j, n in enumerate(shape) if j != i and n != INFERRED)
        if size == INFERRED or count % others:
            continue
        fitting = divisors(count // others) if INFERRED in shape else [count // others]
        away, near = min((abs(n - size), n) for n in fitting)
        found.append((away, i, near))
    return tuple(f"`{[*shape[:i], near, *shape[i + 1 :]]}`" for _, i, near in sorted(found)[:2])


AxisOrder = Annotated[
    tuple[str, ...],
    PlainValidator(axis_names),
    PlainSerializer(list),
    WithJsonSchema({"type": "array", "items": {"enum": list(AXIS_NAMES)}, "uniqueItems": True}),
]
"""The names of all axes, each once."""


class Permute(Reordered):
    """The axes in another order.

    x [n, c, h, w] -> y [n, h, c, w]

        - permute: [height, channels, width]

    The order is that of the output, in the names of the input's axes.
    """

    kind = "permute"
    main = "axes"

    axes: AxisOrder
    """All axes of the input by name, in the order of the output."""

    def order(self, shape: Shape) -> tuple[int, ...]:
        """Return the axes of an input of this shape in the order of the output: 0 is the channels."""
        spatial(self.kind, shape)
        own = axes_of(shape)
        if sorted(self.axes) != sorted(own):
            raise ShapeError(
                "wrong-rank",
                f"`axes` of `{{name}}` are not those of its input, {a_noun(shape)}",
                field="axes",
                label=f"takes {names(own)} in any order",
            )
        return tuple(own.index(name) for name in self.axes)

    def split(self, shape: Shape) -> Split:
        """Return the sizes as they are, and the new order."""
        return shape, self.order(shape)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the sizes in the new order."""
        return Inferred(tuple(inputs[0][axis] for axis in self.order(inputs[0])))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return where each axis comes from."""
        own = axes_of(inputs[0])
        return [(name, f"{source} = {n}") for name, source, n in zip(own, self.axes, shape, strict=True)]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input where the order stays; elsewhere it is unknown."""
        return seen if self.order(inputs[0]) == tuple(range(len(inputs[0]))) else ()


class SpaceDepth(Reordered):
    """Between channels and blocks of positions."""

    main = "block"

    block: Size
    """The size of a block along each axis."""
    mode: Literal["crd", "dcr"] = "crd"
    """The order of the channels: by channel, then by place in the block (crd), or the other way round (dcr)."""

    def blocks(self, shape: Shape) -> tuple[int, ...]:
        """Return the size of a block along each spatial axis of an input (or output) of this shape."""
        return along_axes(self.block, len(shape) - 1, "block")


class DepthToSpace(SpaceDepth):
    """Channels as blocks of positions, which enlarges the image without computing numbers.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - depth_to_space: 2

    Shi et al. 2016 (sub-pixel convolution), PyTorch's PixelShuffle: each b² channels become one, with blocks of b×b.
    """

    kind = "depth_to_space"

    def split(self, shape: Shape) -> Split:
        """Return [o, b, b, h, w] and the order o, h, b, w, b; the blocks before o for dcr."""
        blocks, rank = self.blocks(shape), len(shape) - 1
        crd = self.mode == "crd"
        o = shape[0] // math.prod(blocks)
        sizes = (o, *blocks) if crd else (*blocks, o)
        pairs = [axis for i in range(rank) for axis in (1 + rank + i, i + crd)]
        return (*sizes, *shape[1:]), (0 if crd else rank, *pairs)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c / b², h·b, w·b] for [c, h, w]."""
        sizes, blocks = spatial(self.kind, inputs[0]), self.blocks(inputs[0])
        c, area = inputs[0][0], math.prod(blocks)
        if c % area:
            raise ShapeError(
                "sizes-do-not-match",
                f"{c} channels do not make blocks of {format_shape(blocks)}",
                field="block",
                label=f"{c} / {area} is not whole",
                remedies=(f"{-(-c // area) * area} channels before it",),
            )
        return Inferred((c // area, *(n * b for n, b in zip(sizes, blocks, strict=True))))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the quotient and the products."""
        blocks = self.blocks(shape)
        sizes = zip(AXES[len(blocks)], inputs[0][1:], blocks, shape[1:], strict=True)
        channels = (CHANNELS, f"{inputs[0][0]} / ({product(blocks)}) = {shape[0]}")
        return [channels, *((name, f"{n} · {b} = {out}") for name, n, b, out in sizes)]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the one position that a block comes from."""
        axes = zip(seen, self.blocks(inputs[0]), inferred.shape[1:], strict=True)
        return tuple(field.transposed(b, b, n) for field, b, n in axes)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the one position that the block comes from."""
        blocks = self.blocks(inputs[0])
        return tuple(range(i // b, i // b + 1) for i, b in zip(position, blocks, strict=True))


class SpaceToDepth(SpaceDepth):
    """Blocks of positions as channels, which shrinks the image and loses no number.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - space_to_depth: 2

    The inverse of depth_to_space, PyTorch's PixelUnshuffle: each channel becomes b², of which each has one place of
    every block.
    """

    kind = "space_to_depth"

    def split(self, shape: Shape) -> Split:
        """Return [c, h, b, w, b] and the order c, b, b, h, w; the blocks before c for dcr."""
        blocks, rank = self.blocks(shape), len(shape) - 1
        pairs = [size for n, b in zip(shape[1:], blocks, strict=True) for size in (n // b, b)]
        places, positions = range(2, 2 + 2 * rank, 2), range(1, 1 + 2 * rank, 2)
        order = (0, *places, *positions) if self.mode == "crd" else (*places, 0, *positions)
        return (shape[0], *pairs), order

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c·b², h / b, w / b] for [c, h, w]."""
        sizes, blocks = spatial(self.kind, inputs[0]), self.blocks(inputs[0])
        for name, n, b in zip(AXES[len(sizes)], sizes, blocks, strict=True):
            if n % b:
                raise ShapeError(
                    "sizes-do-not-match",
                    f"the {name} of {n} has no whole number of blocks of {b}",
                    field="block",
                    label=f"{n} / {b} is not whole",
                    remedies=(f"a {name} of {-(-n // b) * b}, by a `pad` before it",),
                    larger_input=True,
                )
        out = (n // b for n, b in zip(sizes, blocks, strict=True))
        return Inferred((inputs[0][0] * math.prod(blocks), *out))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the product and the quotients."""
        blocks = self.blocks(shape)
        sizes = zip(AXES[len(blocks)], inputs[0][1:], blocks, shape[1:], strict=True)
        channels = (CHANNELS, f"{inputs[0][0]} · {product(blocks)} = {shape[0]}")
        return [channels, *((name, f"{n} / {b} = {out}") for name, n, b, out in sizes)]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of one place of a block, at every block."""
        axes = zip(seen, self.blocks(inputs[0]), inferred.shape[1:], strict=True)
        return tuple(field.slide(b, b, n) for field, b, n in axes)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the block."""
        blocks = self.blocks(inputs[0])
        return tuple(range(i * b, (i + 1) * b) for i, b in zip(position, blocks, strict=True))
