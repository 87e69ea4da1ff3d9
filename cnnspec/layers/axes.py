"""The spatial axes of a layer's input, of which there are one, two or three, and what a layer says of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from cnnspec.layers.base import Shape, ShapeError
from cnnspec.layers.geometry import AXES, SIDES, split_total
from cnnspec.layers.padding import AxisPadding, EachSide, Padding, Sides, Total
from cnnspec.wording import names

# The number of spatial axes is called the rank here.


def spatial(kind: str, shape: Shape) -> Shape:
    """Return the sizes of the spatial axes, [c, h, w] -> [h, w]; a flat vector is a ShapeError."""
    if len(shape) < 2:
        raise ShapeError(
            "needs-image",
            f"`{{name}}` takes an image, and gets a flat vector of {shape[0]}",
            label="needs channels × height × width",
            remedies=(f"put `{kind}` before the layer that flattens",),
            input_index=0,
        )
    return shape[1:]


Number = TypeVar("Number", int, float)


def along_axes(sizes: Number | tuple[Number, ...], rank: int, field: str) -> tuple[Number, ...]:
    """Return the size along each of `rank` axes; raise ShapeError where the field has one for another number."""
    if not isinstance(sizes, tuple):
        return (sizes,) * rank
    if len(sizes) != rank:
        error = wrong_rank(field, f"has {_counted(len(sizes), 'size')}", rank, f"takes one number or {axis_list(rank)}")
        if field == "padding" and rank == 1 and len(sizes) == 2:
            error.remedies = (f"`{{left: {sizes[0]}, right: {sizes[1]}}}`",)
        raise error
    return sizes


def short_form(sizes: Iterable[Number]) -> Number | tuple[Number, ...]:
    """Return sizes along axes in the short form: one number where all axes have the same."""
    found = tuple(sizes)
    return found[0] if len(set(found)) == 1 else found


def padding_along(padding: Padding, rank: int, field: str = "padding") -> tuple[AxisPadding, ...]:
    """Return the padding along each of `rank` axes; raise ShapeError where it is written for another number."""
    match padding:
        case Total():
            return tuple(map(split_total, along_axes(padding.sizes, rank, field)))
        case EachSide():
            return tuple((n, n) for n in along_axes(padding.sizes, rank, field))
        case Sides():
            return _by_side(dict(padding.elements), rank, field)
    return (padding,) * rank


def _by_side(elements: dict[str, int], rank: int, field: str) -> tuple[tuple[int, int], ...]:
    sides = SIDES[rank]
    if absent := [side for side in elements if side not in sides]:
        raise wrong_rank(field, f"names `{absent[0]}`", rank, f"takes {names(sides)}")
    sizes = [elements.get(side, 0) for side in sides]
    return tuple(zip(sizes[::2], sizes[1::2], strict=True))


_INTERPOLATED = {"bilinear": ("linear", 2), "trilinear": ("linear", 3), "bicubic": ("cubic", 2)}


def check_mode(mode: str, rank: int) -> None:
    """Raise ShapeError where a mode of interpolation is the name for another number of axes."""
    plain, axes = _INTERPOLATED.get(mode, (mode, rank))
    if axes != rank:
        raise ShapeError(
            "wrong-rank",
            f"`{mode}` interpolates {axes} axes, and the input of `{{name}}` has {rank}",
            field="mode",
            remedies=(f"`{plain}`",),
        )


def wrong_rank(field: str, what: str, rank: int, label: str) -> ShapeError:
    """Return the error of a field that is written for another number of axes than the input has."""
    message = f"`{field}` of `{{name}}` {what}, and its input has {_counted(rank, 'spatial axis')}: {axis_list(rank)}"
    return ShapeError("wrong-rank", message, field=field, label=label)


def axis_list(rank: int) -> str:
    """Return the axes as a list in a message: [height, width]."""
    return f"[{', '.join(AXES[rank])}]"


def _counted(n: int, noun: str) -> str:
    plural = noun.replace("axis", "axe") + "s"
    return f"{n} {noun if n == 1 else plural}"
