"""Photometric transforms: Pillow's, colorsys' and SciPy's results, and what chance makes of them."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from augmented import augmentation, many, once, pixels
from PIL import Image, ImageEnhance

from cnnspec.arrays import Array

IMAGE = pixels(3, 9, 11)


def pil(image: Array) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


def array(image: Image.Image) -> Array:
    return np.asarray(image).transpose(2, 0, 1).astype(int)


@pytest.mark.parametrize("augment", ["[noise: 0]", "[blur: 0]", "[grey: 0]", "[erase: 0]"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_identity_parameters_change_nothing(augment: str, dtype: type) -> None:
    found = once(augment, IMAGE.astype(dtype))
    assert found.dtype == dtype
    assert np.array_equal(found, IMAGE)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_a_jitter_of_nothing_changes_nothing(name: str) -> None:
    assert np.array_equal(once(f"[color_jitter: {{{name}: 0}}]", IMAGE), IMAGE)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_factors_are_those_of_pillow(name: str, theirs: type, factor: float) -> None:
    """Torchvision calls these for images; Pillow rounds the luma and the mean."""
    wanted = array(theirs(pil(IMAGE)).enhance(factor))
    assert np.abs(once(f"[color_jitter: {{{name}: [{factor}, {factor}]}}]", IMAGE).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.1, 0.35])
def test_the_hue_is_that_of_colorsys(turn: float) -> None:
    found = once(f"[color_jitter: {{hue: [{turn}, {turn}]}}]", IMAGE)
    for was, now in zip(IMAGE.reshape(3, -1).T / 255, found.reshape(3, -1).T, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*was)
        wanted = np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)) * 255
        assert np.abs(now - wanted).max() < 0.51


def test_grey_pixels_have_no_hue() -> None:
    image = np.repeat(pixels(1, 8, 8), 3, 0)
    assert np.array_equal(once("[color_jitter: {hue: 0.5}]", image), image)


def test_changes_come_in_random_order() -> None:
    """A pixel that is clipped tells whether it was made brighter before or after its contrast was halved."""
    image = np.zeros((1, 1, 2), np.uint8)
    image[0, 0] = 100, 200
    found = many("[color_jitter: {brightness: [2, 2], contrast: [0.5, 0.5]}]", image)[:, 0, 0].tolist()
    before, after = [214, 241], [250, 255]  # 200, 255 about 227.5; and 125, 175 times 2
    assert all(one in (before, after) for one in found)
    assert 430 < found.count(before) < 570


def test_factors_are_uniform_around_1() -> None:
    found = many("[color_jitter: {brightness: 0.4}]", np.full((1, 1, 1), 100.0, np.float32), 3000).ravel() / 100
    assert 0.6 <= found.min() <= found.max() <= 1.4
    assert np.abs(np.histogram(found, np.linspace(0.6, 1.4, 6))[0] / 3000 - 1 / 5).max() < 0.03


def test_grey_is_the_luma_with_its_probability() -> None:
    wanted = np.asarray(pil(IMAGE).convert("L")).astype(int)
    found = many("[grey: 0.3]", IMAGE)
    unchanged = (found == IMAGE).all((1, 2, 3))
    assert abs(unchanged.mean() - 0.7) < 0.05
    assert np.abs(found[~unchanged].astype(int) - wanted).max() <= 1


def test_erasing_replaces_one_rectangle() -> None:
    image = np.full((2, 40, 30), 7, np.uint8)
    found = many("[{erase: {probability: 1, fill: 99}}]", image)
    assert set(np.unique(found)) == {7, 99}
    areas, ratios = [], []
    for one in found:
        holes = one == 99
        assert (holes[0] == holes[1]).all()
        rows, columns = np.flatnonzero(holes[0].any(1)), np.flatnonzero(holes[0].any(0))
        assert holes[0].sum() == len(rows) * len(columns) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        areas.append(holes[0].mean())
        ratios.append(len(columns) / len(rows))
    assert 0.015 < min(areas) < 0.04
    assert 0.35 < max(areas) < 0.42
    assert min(ratios) < 0.45
    assert max(ratios) > 2.0
    assert abs(np.mean(np.array(ratios) > 1) - 0.5) < 0.08
    assert (found[:, 0] == 99).any(0).all()


def test_erasing_with_random_pixels() -> None:
    image = np.full((3, 32, 32), 256.0, np.float32)  # no pixel, so that all that is erased can be told
    found = many("[erase: 1]", image, 200)
    drawn = found[found != 256]
    assert np.abs(np.bincount((drawn // 32).astype(int), minlength=8) / len(drawn) - 1 / 8).max() < 0.01
    assert 0.4 < (many("[erase]", image) != image).any((1, 2, 3)).mean() < 0.6


def test_masks_stay_where_the_image_alone_changes() -> None:
    mask = pixels(9, 11) % 4
    every = "[erase: 1, noise: 9, blur: 1, grey: 1, color_jitter: {brightness: 0.5}]"
    found, moved = once(every, IMAGE, mask, masks=4)
    assert np.array_equal(moved, mask)
    assert (found != IMAGE).any()


def test_noise() -> None:
    grey = np.full((3, 20, 20), 128, np.float32)
    found = many("[noise: 10]", grey, 200) - 128
    assert abs(found.mean()) < 0.1
    assert abs(found.std() - 10) < 0.1
    assert abs((np.abs(found) < 10).mean() - 0.6827) < 0.005
    assert abs(np.corrcoef(found[:, 0].ravel(), found[:, 1].ravel())[0, 1]) < 0.02
    spread = many("[noise: [0, 20]]", grey, 500).std((1, 2, 3))
    assert np.abs(np.histogram(spread, [0, 5, 10, 15, 20.8])[0] / 500 - 1 / 4).max() < 0.06
    rounded = many("[noise: 40]", np.full((1, 20, 20), 250, np.uint8), 50)
    assert rounded.max() == 255  # no overflow
    assert abs((rounded == 255).mean() - 0.46) < 0.03


def test_noise_on_numbers() -> None:
    x = np.zeros((100, 2, 30), np.float32)
    found, _ = augmentation("[noise: 0.5]", (2, 30))(x, np.zeros(100), np.arange(100), pixels=False)
    assert found.dtype == np.float32
    assert found.min() < -1  # numbers are not limited as pixels are
    assert abs(found.std() - 0.5) < 0.02


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 5.0])
def test_blur_is_a_gaussian_filter(sigma: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = IMAGE.astype(np.float32)
    radius = int(np.ceil(3 * sigma))
    wanted = ndimage.gaussian_filter(image, (0, sigma, sigma), mode="mirror", radius=(0, radius, radius))
    assert np.abs(once(f"[blur: {sigma}]", image) - wanted).max() < 1e-3


def test_blur_keeps_what_is_constant() -> None:
    for shape in ((1, 1, 7), (3, 2, 2)):
        image = np.full(shape, 77, np.uint8)
        assert (many("[blur]", image, 20) == 77).all()


def test_one_of_is_each_alike() -> None:
    image = 100 + pixels(1, 4, 4) // 8
    found = many("[one_of: [flip: {probability: 1}, {color_jitter: {brightness: [0, 0]}}, {erase: 0}]]", image, 1500)
    counts = [(found == way).all((1, 2, 3)).sum() for way in (image[..., ::-1], np.zeros_like(image), image)]
    assert sum(counts) == 1500
    assert np.abs(np.array(counts) - 500).max() < 60
    some = many("[one_of: {transforms: [{grey: 1}], probability: 0.25}]", IMAGE)
    assert abs((some != IMAGE).any((1, 2, 3)).mean() - 0.25) < 0.04
