"""The sizes that images have after some transforms."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.data.augment.samples import Size
from cnnspec.graph.training import OneOf, RandomCrop, Transform
from cnnspec.wording import format_shape


def leaves(transforms: Sequence[Transform], size: Size, wanted: Size) -> str:
    """Return why images of that size do not get the wanted one from the transforms, "" where they do."""
    sizes = {size}
    for transform in transforms:
        found: set[Size] = set()
        for one in sizes:
            after, wrong = _after(transform, one, wanted)
            if wrong:
                return wrong
            found |= after
        sizes = found
    if others := sizes - {wanted}:
        return (
            f"`augment` leaves samples of {format_shape(min(others))}, and the network takes {format_shape(wanted)}: "
            "let it have `random_resized_crop`, which makes images of any size fit"
        )
    return ""


def _after(transform: Transform, size: Size, wanted: Size) -> tuple[set[Size], str]:
    """Return the sizes that an image of that size can have after a transform, and what is wrong with it."""
    if isinstance(transform, OneOf):
        found = {size} if transform.probability < 1 else set()
        for one in transform.transforms:
            after, wrong = _after(one, size, wanted)
            if wrong:
                return set(), wrong
            found |= after
        return found, ""
    if isinstance(transform, RandomCrop):
        padded = tuple(s + 2 * transform.pad for s in size)
        if any(have < want for have, want in zip(padded, wanted, strict=True)):
            return set(), (
                f"`random_crop` cannot cut {format_shape(wanted)} out of {format_shape(size)}, with {transform.pad} "
                f"pixels of padding on each side: use a larger `pad`, or `random_resized_crop`"
            )
    return ({wanted} if transform.crops else {size}), ""
