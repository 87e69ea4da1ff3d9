"""Layers that put the same numbers into another shape or order."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.axes import along_axes, spatial, wrong_rank
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError
from cnnspec.layers.fields import Size, fault, whole
from cnnspec.layers.geometry import AXES
from cnnspec.layers.shape import Rearranged
from cnnspec.wording import describe, format_shape, names, nearest, product, quoted

INFERRED = -1
"""The size that follows from the others."""


def _new_shape(value: Any) -> Shape:
    most = max(AXES) + 1
    if not isinstance(value, list | tuple):
        help = f"`[{value}]` is a vector" if isinstance(value, int) and not isinstance(value, bool) else ""
        raise fault("wrong-type", f"takes a list of sizes, not {describe(value)}", help=help)
    if not 1 <= len(value) <= most:
        raise fault("invalid-value", f"takes 1 to {most} sizes, not {describe(value)}")
    for i, size in enumerate(value):
        if size == INFERRED and i > value.index(size):
            raise fault("invalid-value", "takes one size of -1, which follows from the others", i)
        if size == 0:
            raise fault("invalid-value", "takes 1 or more, or -1 for the size that follows from the others, not 0", i)
    return tuple(size if size == INFERRED else whole(size, 1, i) for i, size in enumerate(value))


_NEW_SHAPE_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": INFERRED}]},
    "minItems": 1,
    "maxItems": max(AXES) + 1,
}

NewShape = Annotated[Shape, PlainValidator(_new_shape), PlainSerializer(list), WithJsonSchema(_NEW_SHAPE_SCHEMA)]
"""A shape in which one size may be -1."""


class Reshape(Rearranged):
    """The same numbers in another shape; one size may be -1, which follows from the others.

    x [n, f] -> y [n, o, h, w]

        - reshape: [3, 2, -1]

    The numbers keep their order, channel by channel and row by row, as in NumPy. The number of sizes says what comes
    out: `[f]` is a vector, `[c, l]` a sequence, `[c, h, w]` an image, `[c, d, h, w]` a volume.
    """

    kind = "reshape"
    main = "shape"

    shape: NewShape
    """The sizes of the output, channels first."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape with its size of -1 filled in."""
        count, known = math.prod(inputs[0]), math.prod(size for size in self.shape if size != INFERRED)
        follows = INFERRED in self.shape
        inferred = count // known if follows else 1
        if count != known * inferred:
            what = f"{product(inputs[0])} = {count}" if len(inputs[0]) > 1 else f"{count}"
            raise ShapeError(
                "reshape-mismatch",
                f"`{{name}}` makes {list(self.shape)} of {format_shape(inputs[0])}",
                field="shape",
                label=f"{'takes a multiple of' if follows else 'has'} {known} numbers, and the input {what}",
                remedies=_fitting(self.shape, count) or _fitting((*self.shape[:-1], INFERRED), count),
            )
        return Inferred(tuple(inferred if size == INFERRED else size for size in self.shape))

    @property
    def fixed_shape(self) -> Shape | None:
        """The shape, unless a size depends on the input."""
        return None if INFERRED in self.shape else self.shape

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input where its axes stay or all are flattened; other positions have none."""
        return seen if len(inferred.shape) == 1 or inferred.shape[1:] == inputs[0][1:] else ()

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the number of numbers, before and after."""
        return [("numbers", f"{product(inputs[0])} = {product(shape)} = {math.prod(shape)}")]


def _fitting(shape: Shape, count: int) -> tuple[str, ...]:
    """Return the shapes with `count` numbers that differ from this one in one size, the nearest first, at most two."""
    found = []
    for i, size in enumerate(shape):
        others = math.prod(n for j, n in enumerate(shape) if j != i and n != INFERRED)
        if size == INFERRED or count % others:
            continue
        fitting = _divisors(count // others) if INFERRED in shape else [count // others]
        away, near = min((abs(n - size), n) for n in fitting)
        found.append((away, i, near))
    return tuple(f"`{[*shape[:i], near, *shape[i + 1 :]]}`" for _, i, near in sorted(found)[:2])


def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, min(math.isqrt(n), 4096) + 1) if n % d == 0]
    return [*small, *(n // d for d in small)]


_ANY_AXIS = ("channels", *dict.fromkeys(name for axes in AXES.values() for name in axes))


def _order(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        help = "`[width, channels, height]` makes the columns of an image the channels"
        raise fault("wrong-type", f"takes a list of axes, not {describe(value)}", help=help)
    for i, name in enumerate(value):
        if not isinstance(name, str):
            raise fault(
                "wrong-type", f"takes names of axes, not {describe(name)}", i, help=f"one of {names(_ANY_AXIS)}"
            )
        if name not in _ANY_AXIS:
            near = nearest(name, _ANY_AXIS)
            help = f"did you mean `{near}`?" if near else f"it is one of {names(_ANY_AXIS)}"
            raise fault("invalid-value", f"has no axis {quoted(name)}", i, help=help)
        if name in value[:i]:
            raise fault("invalid-value", f"has `{name}` twice", i)
    return tuple(value)


_ORDER_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"enum": list(_ANY_AXIS)},
    "minItems": min(AXES) + 1,
    "maxItems": max(AXES) + 1,
    "uniqueItems": True,
}

Order = Annotated[tuple[str, ...], PlainValidator(_order), PlainSerializer(list), WithJsonSchema(_ORDER_SCHEMA)]
"""The names of all axes, in some order."""


Moves = tuple[Shape, tuple[int, ...]]
"""The axes that an input is split into, and their order in the output, in which neighbours are joined again."""


class Permute(Rearranged):
    """The axes in another order, by their names: the first of them becomes the channels.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - permute: [width, channels, height]

    The names are those of the input: `channels` and `length` of a sequence, `height` and `width` of an image, also
    `depth` of a volume.
    """

    kind = "permute"
    main = "axes"

    axes: Order
    """The input's axes in the order of the output."""

    def moves(self, shape: Shape) -> Moves:
        """Return the axes of an input [c, ...], and their order in the output."""
        named = ("channels", *AXES[len(shape) - 1])
        return shape, tuple(map(named.index, self.axes))

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the sizes in the new order."""
        rank = len(spatial(self.kind, inputs[0]))
        named = ("channels", *AXES[rank])
        if absent := [name for name in self.axes if name not in named]:
            raise wrong_rank("axes", f"names `{absent[0]}`", rank, f"takes {names(named)}")
        if missing := [name for name in named if name not in self.axes]:
            raise ShapeError(
                "wrong-rank",
                f"`axes` of `{{name}}` leaves {names(missing)} out",
                field="axes",
                label=f"takes {names(named)}, in any order",
                remedies=(f"`[{', '.join((*self.axes, *missing))}]`",),
            )
        return Inferred(tuple(inputs[0][i] for i in self.moves(inputs[0])[1]))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input, in the new order; none where the channels become positions."""
        first, *others = self.moves(inputs[0])[1]
        return () if first else tuple(seen[i - 1] for i in others)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return where each axis comes from."""
        named = ("channels", *AXES[len(shape) - 1])
        return [(name, f"{source} = {n}") for name, source, n in zip(named, self.axes, shape, strict=True)]


class Blocks(Rearranged):
    """Layers that move numbers between the channels and blocks of positions."""

    main = "block"

    block: Size
    """Size of a block of positions along each axis."""
    mode: Literal["dcr", "crd"] = "dcr"
    """Which varies first along the deeper channels: the place in the block (dcr), or the channel (crd)."""

    def blocks(self, shape: Shape) -> tuple[int, ...]:
        """Return the size of a block along each spatial axis of an input (or output) of this shape."""
        return along_axes(self.block, len(shape) - 1, "block")


class DepthToSpace(Blocks):
    """Each block of positions filled from as many channels: a larger image with fewer channels.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - depth_to_space: {block: 2, mode: crd}

    Shi et al. 2016 (sub-pixel convolution). Place (i, j) of the blocks of output channel k is filled from channel
    k·b² + i·b + j with `crd`, as in PyTorch's PixelShuffle, and from (i·b + j)·o + k with `dcr`, as in TensorFlow and
    ONNX.
    """

    kind = "depth_to_space"

    def moves(self, shape: Shape) -> Moves:
        """Return the channels of an input [c, ...] split into blocks and channels, and each block behind its axis."""
        blocks, sizes = self.blocks(shape), shape[1:]
        rank, o = len(sizes), shape[0] // math.prod(blocks)
        if self.mode == "dcr":
            return (*blocks, o, *sizes), (rank, *(axis for i in range(rank) for axis in (rank + 1 + i, i)))
        return (o, *blocks, *sizes), (0, *(axis for i in range(1, rank + 1) for axis in (rank + i, i)))

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c / b², h·b, w·b] for [c, h, w]."""
        spatial(self.kind, inputs[0])
        blocks, c = self.blocks(inputs[0]), inputs[0][0]
        places = math.prod(blocks)
        if c % places:
            near = max(1, c // places) * places
            raise ShapeError(
                "block-mismatch",
                f"`{{name}}` fills blocks of {format_shape(blocks)} from {c} channels",
                field="block",
                label=f"{c} / {places} is not whole",
                remedies=(f"{near} or {near + places} channels before it",),
            )
        return Inferred((c // places, *(n * block for n, block in zip(inputs[0][1:], blocks, strict=True))))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of one element, which fills a place of a block."""
        axes = zip(seen, self.blocks(inferred.shape), inferred.shape[1:], strict=True)
        return tuple(field.transposed(block, block, n) for field, block, n in axes)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the quotient and the products."""
        blocks = self.blocks(shape)
        sizes = zip(AXES[len(blocks)], inputs[0][1:], blocks, shape[1:], strict=True)
        first = ("channels", f"{inputs[0][0]} / {product(blocks)} = {shape[0]}")
        return [first, *((name, f"{n} · {block} = {out}") for name, n, block, out in sizes)]


class SpaceToDepth(Blocks):
    """Each block of positions laid into the channels: a smaller image with more channels.

    x [n, c, h, w] -> y [n, o, oh, ow]

        - space_to_depth: 2

    The inverse of `depth_to_space` of the same mode: `dcr` is that of TensorFlow and ONNX, `crd` PyTorch's
    PixelUnshuffle.
    """

    kind = "space_to_depth"

    def moves(self, shape: Shape) -> Moves:
        """Return the axes of an input [c, ...] split into positions and blocks, and all blocks beside the channels."""
        blocks, sizes = self.blocks(shape), shape[1:]
        split = [(n // block, block) for n, block in zip(sizes, blocks, strict=True)]
        positions, places = range(1, 2 * len(sizes), 2), range(2, 2 * len(sizes) + 1, 2)
        deep = (*places, 0) if self.mode == "dcr" else (0, *places)
        return (shape[0], *(n for pair in split for n in pair)), (*deep, *positions)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c·b², h / b, w / b] for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        blocks = self.blocks(inputs[0])
        for name, n, block in zip(AXES[len(sizes)], sizes, blocks, strict=True):
            if n % block:
                raise ShapeError(
                    "block-mismatch",
                    f"`{{name}}` cuts a {name} of {n} into blocks of {block}",
                    field="block",
                    label=f"{n} / {block} is not whole",
                    remedies=(f"a {name} of {-(-n // block) * block}: {-n % block} more by `pad` before it",),
                )
        channels = inputs[0][0] * math.prod(blocks)
        return Inferred((channels, *(n // block for n, block in zip(sizes, blocks, strict=True))))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of a block, which becomes one position."""
        axes = zip(seen, self.blocks(inferred.shape), inferred.shape[1:], strict=True)
        return tuple(field.slide(block, block, n) for field, block, n in axes)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the product and the quotients."""
        blocks = self.blocks(shape)
        sizes = zip(AXES[len(blocks)], inputs[0][1:], blocks, shape[1:], strict=True)
        first = ("channels", f"{inputs[0][0]} · {product(blocks)} = {shape[0]}")
        return [first, *((name, f"{n} / {block} = {out}") for name, n, block, out in sizes)]
