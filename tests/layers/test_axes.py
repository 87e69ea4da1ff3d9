"""What a field says of each spatial axis, for one, two and three axes."""

from __future__ import annotations

import pytest

from cnnspec.layers.axes import along_axes, padding_along
from cnnspec.layers.base import ShapeError
from cnnspec.layers.conv import Conv
from cnnspec.layers.padding import EachSide, Sides, Total


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_number_is_that_of_every_axis(rank):
    assert along_axes(5, rank, "kernel") == (5,) * rank
    assert padding_along("same", rank) == ("same",) * rank
    assert padding_along(Total(3), rank) == ((2, 1),) * rank
    assert padding_along(EachSide(3), rank) == ((3, 3),) * rank


def test_a_list_has_one_number_for_each_axis():
    assert along_axes((5, 3), 2, "kernel") == (5, 3)
    assert padding_along(Total((3, 2)), 2) == ((2, 1), (1, 1))
    assert padding_along(EachSide((1, 2, 3)), 3) == ((1, 1), (2, 2), (3, 3))


def test_sides_that_are_not_named_have_no_padding():
    assert padding_along(Sides((("left", 2),)), 1) == ((2, 0),)
    assert padding_along(Sides((("bottom", 1), ("left", 2))), 2) == ((0, 1), (2, 0))
    assert padding_along(Sides((("front", 3), ("right", 1))), 3) == ((3, 0), (0, 0), (0, 1))


@pytest.mark.parametrize(
    ("sizes", "rank", "shown"),
    [((5,), 2, "1 size"), ((5, 3), 1, "2 sizes"), ((5, 3), 3, "[depth, height, width]")],
)
def test_a_list_for_another_number_of_axes_is_refused(sizes, rank, shown):
    with pytest.raises(ShapeError) as caught:
        along_axes(sizes, rank, "kernel")
    assert caught.value.code == "wrong-rank"
    assert caught.value.field == "kernel"
    assert shown in caught.value.message


@pytest.mark.parametrize(("side", "rank"), [("top", 1), ("front", 2)])
def test_a_side_that_the_input_does_not_have_is_refused(side, rank):
    with pytest.raises(ShapeError, match=side):
        padding_along(Sides(((side, 1),)), rank)


@pytest.mark.parametrize("shape", [(3, 20), (3, 20, 21), (3, 20, 21, 22)])
def test_a_convolution_has_the_rank_of_its_input(shape):
    conv = Conv(channels=4, kernel=3, stride=2, padding=Total(1))
    assert conv.infer(shape).shape == (4, *((n - 3 + 1 + 2) // 2 for n in shape[1:]))
    assert conv.parameters(shape)["weight"].shape == (4, 3, *[3] * (len(shape) - 1))
