"""Geometric transforms: exact cases, their definitions, and what chance makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from augmented import augmentation, many, once, pixels
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.arrays import Array
from cnnspec.data import images
from cnnspec.data.augment.draws import Draws
from cnnspec.data.augment.geometry import parts

IDENTITIES = [
    "[shift: 0]",
    "[random_crop]",
    "[{random_resized_crop: {scale: [1, 1], ratio: [1, 1]}}]",
    "[flip: {probability: 0}]",
    "[rotate: 0]",
    "[rotate: 360]",
    "[scale: [1, 1]]",
]


def windows(image: Array, s: int, border: Array) -> Array:
    """Every image that a shift by up to s can make, by the definition: [(2s + 1)², c, h, w]."""
    _, h, w = image.shape
    made = np.empty(((2 * s + 1) ** 2, *image.shape), image.dtype)
    offsets = [(down, right) for down in range(-s, s + 1) for right in range(-s, s + 1)]
    for one, (down, right) in zip(made, offsets, strict=True):
        for i in range(h):
            for j in range(w):
                there = 0 <= i - down < h and 0 <= j - right < w
                one[:, i, j] = image[:, i - down, j - right] if there else border
    return made


def counted(found: Array, possible: Array) -> Array:
    """How often each of the possible images was found; each image is one of them."""
    which = [np.flatnonzero((possible == one).all(axis=tuple(range(1, possible.ndim)))) for one in found]
    assert all(len(w) == 1 for w in which)
    return np.bincount(np.concatenate(which), minlength=len(possible))


@pytest.mark.parametrize("augment", IDENTITIES[:-2] + IDENTITIES[-1:])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_identity_parameters_change_nothing(augment: str, dtype: type) -> None:
    image = pixels(3, 6, 6).astype(dtype)
    mask = pixels(6, 6, seed=1) % 4
    found, moved = once(augment, image, mask, masks=4)
    assert found.dtype == image.dtype
    assert np.array_equal(found, image)
    assert np.array_equal(moved, mask)


@pytest.mark.parametrize("augment", ["[shift: 2]", "[random_crop: 2]"])
def test_a_shift_makes_every_window_of_the_padded_image_alike(augment: str) -> None:
    image = 1 + pixels(2, 5, 4) // 2
    counts = counted(many(augment, image), windows(image, 2, np.zeros(2)))
    assert counts.min() > 15  # of 40 on average
    assert counts.max() < 70


def test_numbers_are_shifted_in_from_a_pixel_of_zero() -> None:
    image = np.random.default_rng(0).random((2, 5, 4), np.float32)
    how = augmentation("[shift: 2]", (2, 5, 4), more="mean: [0.5, 0.25], std: [0.5, 2.0]")
    found, _ = how(np.repeat(image[None], 500, 0), np.zeros(500), np.arange(500), pixels=False)
    assert (counted(found, windows(image, 2, np.array([-1, -0.125], np.float32))) > 0).all()


def test_a_crop_of_a_larger_image_is_each_part_of_it_alike() -> None:
    large = 1 + pixels(1, 6, 7) // 2
    how = augmentation("[random_crop]", (1, 4, 4))
    found, _ = how(np.repeat(large[None], 1200, 0), np.zeros(1200), np.arange(1200))
    possible = np.stack([large[:, i : i + 4, j : j + 4] for i in range(3) for j in range(4)])
    counts = counted(found, possible)
    assert counts.min() > 60  # of 100 on average
    assert counts.max() < 140


@pytest.mark.parametrize(
    ("axis", "shares"),
    [("horizontal", [0.5, 0.5, 0, 0]), ("vertical", [0.5, 0, 0.5, 0]), ("both", [0.25, 0.25, 0.25, 0.25])],
)
def test_flips(axis: str, shares: list[float]) -> None:
    image = pixels(1, 2, 3)
    possible = np.stack([image, image[..., ::-1], image[:, ::-1], image[:, ::-1, ::-1]])
    counts = counted(many(f"[flip: {axis}]", image, 2000), possible)
    assert np.abs(counts / 2000 - shares).max() < 0.05


def test_a_flip_takes_a_probability() -> None:
    image = pixels(1, 2, 3)
    found = many("[flip: {axis: horizontal, probability: 0.2}]", image, 2000)
    assert abs((found == image[..., ::-1]).all((1, 2, 3)).mean() - 0.2) < 0.03


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_rotation_by_90_degrees_moves_pixels_to_pixels(quarters: int, dtype: type) -> None:
    image, mask = pixels(3, 7, 7).astype(dtype), pixels(7, 7, seed=1) % 4
    angle = 90 * quarters
    found, moved = once(f"[rotate: [{angle}, {angle}]]", image, mask, masks=4)
    assert np.array_equal(found, np.rot90(image, quarters, (1, 2)))  # counter-clockwise
    assert np.array_equal(moved, np.rot90(mask, quarters))


@pytest.mark.parametrize(
    ("augment", "angle", "factor"),
    [("[rotate: [30, 30]]", 30, 1), ("[rotate: [-100, -100]]", -100, 1), ("[scale: [1.5, 1.5]]", 0, 1.5)],
)
def test_rotation_and_scale_by_definition(augment: str, angle: float, factor: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = ndimage.gaussian_filter(pixels(1, 31, 24).astype(np.float32), (0, 2, 2))
    radians = np.radians(angle)
    # rows point down: the row and the column that a position of the result comes from
    matrix = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]) / factor
    centre = (np.array(image.shape[1:]) - 1) / 2
    wanted = ndimage.affine_transform(image[0], matrix, centre - matrix @ centre, order=1, cval=np.nan)
    found = once(augment, image)[0]
    inside = ~np.isnan(wanted)
    assert inside.mean() > 0.4
    assert np.abs(found - wanted)[inside].max() < 1e-3


def test_what_comes_in_from_outside() -> None:
    image, mask = np.full((1, 8, 8), 200, np.uint8), np.ones((8, 8), np.int64)
    found, moved = once("[rotate: [45, 45]]", image, mask, masks=2, loss="{cross_entropy: {ignore: 255}}")
    assert found[0, 0, 0] == 0
    assert moved[0, 0] == 255
    assert ((found[0] == 0) == (moved == 255)).all()
    _, moved = once("[scale: [0.5, 0.5]]", image, mask, masks=2)
    assert moved.sum() == 16
    assert (moved[2:6, 2:6] == 1).all()


def test_angles_and_factors_are_uniform() -> None:
    """Where the centre of a bright pixel comes from says the angle; the width of a bar says the factor."""
    n = 2000
    image = np.zeros((1, 41, 41), np.float32)
    image[0, 20, 38:] = 255
    found = many("[rotate: 60]", image, n)[:, 0]
    rows, columns = np.mgrid[:41, :41] - 20.0
    weight = found.sum((1, 2))
    angles = np.degrees(np.arctan2(-(found * rows).sum((1, 2)) / weight, (found * columns).sum((1, 2)) / weight))
    assert np.abs(np.histogram(angles, np.linspace(-60, 60, 7))[0] / n - 1 / 6).max() < 0.03
    bar = np.zeros((1, 3, 101), np.float32)
    bar[..., 41:60] = 1
    widths = many("[scale: [0.5, 2]]", bar, n)[:, 0, 1].sum(1)
    assert np.abs(np.histogram(widths / 19, np.linspace(0.5, 2, 4))[0] / n - 1 / 3).max() < 0.04


# Resized crops


def test_a_crop_of_the_whole_image_is_the_image_resized() -> None:
    image = pixels(3, 12, 12)
    how = augmentation("[{random_resized_crop: {scale: [1, 1], ratio: [1, 1]}}]", (3, 8, 5))
    found, _ = how.one(image, 0, 0)
    wanted = images.converted(image, (3, 8, 5), "x", "resize")
    assert found.dtype == np.uint8
    assert np.abs(found - wanted).max() < 1.01  # Pillow rounds after each axis


@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    scale=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)).map(sorted),
)
def test_crops_lie_within_the_image(
    rows: int, columns: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    draws = Draws(7, np.arange(50))
    top, left, height, width = parts(scale, ratio, (rows, columns), draws)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (height > 0).all()
    assert (width > 0).all()
    assert (top + height <= rows).all()
    assert (left + width <= columns).all()


def test_areas_and_ratios_of_crops_have_their_distributions() -> None:
    n = 20_000
    top, left, height, width = parts((0.1, 0.4), (0.5, 2.0), (1000, 1000), Draws(5, np.arange(n)))
    area, ratio = height * width / 1e6, np.log(width / height) / np.log(2)
    assert np.abs(np.histogram(area, np.linspace(0.1, 0.4, 6))[0] / n - 1 / 5).max() < 0.02
    assert np.abs(np.histogram(ratio, np.linspace(-1, 1, 6))[0] / n - 1 / 5).max() < 0.02
    for start, size in ((top, height), (left, width)):
        place = start / (1000 - size)
        assert np.abs(np.histogram(place, np.linspace(0, 1, 6))[0] / n - 1 / 5).max() < 0.02
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("size", "box"), [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10)), ((50, 50), (0, 0, 50, 50))]
)
def test_where_no_part_fits_the_largest_central_one_is_taken(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    found = parts((1.0, 1.0), (3 / 4, 4 / 3) if size[0] != size[1] else (1.0, 1.0), size, Draws(1, np.arange(1)))
    assert tuple(int(value[0]) for value in found) == box


# Images and their maps


@pytest.mark.parametrize("augment", ["[shift: 2]", "[flip: both]", "[random_crop: 2]", "[rotate: [180, 180]]"])
def test_a_mask_moves_with_its_image(augment: str) -> None:
    mask = pixels(30, 6, 5) % 4
    found, moved = augmentation(augment, (1, 6, 5), masks=4)(mask[:, None], mask, np.arange(30))
    assert np.array_equal(found[:, 0], moved)
    assert moved.dtype == mask.dtype
    assert (moved != mask).any()


@pytest.mark.parametrize(
    "augment",
    ["[rotate: 40]", "[scale: [0.7, 1.5]]", "[random_resized_crop, {rotate: {degrees: 20, probability: 0.5}}]"],
)
def test_interpolated_images_and_their_masks_stay_aligned(augment: str) -> None:
    half = np.zeros((20, 32, 32), np.int64)
    half[:, 10:, 14:] = 1
    found, moved = augmentation(augment, (1, 32, 32), masks=2)(
        (half * 255).astype(np.uint8)[:, None], half, np.arange(20)
    )
    assert set(np.unique(moved)) <= {0, 1}
    assert ((found[:, 0] > 127) == moved).mean() > 0.985
    assert (moved != half).any()


def test_a_map_of_numbers_moves_and_is_interpolated_with_its_image() -> None:
    values = np.random.default_rng(0).random((10, 2, 9, 9))
    how = augmentation("[rotate: 30, flip: both]", (2, 9, 9), masks=2, loss="mean_squared_error")
    found, moved = how(values.astype(np.float32), values, np.arange(10), pixels=False)
    assert moved.dtype == np.float64
    assert np.abs(found - moved).max() < 1e-6


def test_sequences_and_volumes() -> None:
    x = pixels(40, 2, 9)
    found, _ = augmentation("[flip]", (2, 9))(x, np.zeros(40), np.arange(40))
    mirrored = (found == x[..., ::-1]).all((1, 2))
    assert 8 < mirrored.sum() < 32
    assert ((found == x).all((1, 2)) | mirrored).all()
    found, _ = augmentation("[shift: 1]", (2, 9))(x, np.zeros(40), np.arange(40))
    moved = [np.pad(x, ((0, 0), (0, 0), (1, 1)))[..., i : i + 9] for i in range(3)]
    assert all(any((one == way[i]).all() for way in moved) for i, one in enumerate(found))
    volume = pixels(40, 1, 3, 4, 5)
    found, _ = augmentation("[flip: vertical]", (1, 3, 4, 5))(volume, np.zeros(40), np.arange(40))
    assert ((found == volume).all((1, 2, 3, 4)) | (found == volume[..., ::-1, :]).all((1, 2, 3, 4))).all()
