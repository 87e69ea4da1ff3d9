"""Resizing along one axis: sizes and coordinates are exact, and where PyTorch can say the same, it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.layers.base import ShapeError
from cnnspec.layers.resize import Resize
from cnnspec.layers.sampling import Coordinates, Mode, Rounding, Sampling, weights

sizes = st.integers(1, 20)
coordinates: st.SearchStrategy[Coordinates] = st.sampled_from(["half_pixel", "align_corners", "asymmetric"])


def matrix(sampling: Sampling, mode: Mode, rounding: Rounding = "round_prefer_floor") -> Any:
    found = np.zeros((sampling.out, sampling.n))
    for row, taken in zip(found, weights(sampling, mode, rounding), strict=True):
        for i, weight in taken:
            row[i] += weight
    return found


@pytest.mark.parametrize(
    ("n", "scale", "out"), [(100, 0.29, 29), (3, 2 / 3, 2), (7, 1 / 3, 2), (5, 1.5, 7), (10, 0.7, 7)]
)
def test_a_factor_is_the_fraction_that_is_meant(n: int, scale: float, out: int) -> None:
    assert Sampling.by_scale(n, scale, "half_pixel").out == out
    assert Resize(scale=scale).infer((1, n, n)).shape == (1, out, out)


@given(sizes, sizes, coordinates)
def test_samples_of_an_axis_are_weighted_means(n: int, out: int, where: Coordinates) -> None:
    sampling = Sampling.to_size(n, out, where)
    for mode in ("nearest", "linear", "cubic"):
        np.testing.assert_allclose(matrix(sampling, mode).sum(1), 1, rtol=1e-12)


@given(sizes, coordinates)
def test_the_size_that_it_has_is_the_identity(n: int, where: Coordinates) -> None:
    sampling = Sampling.to_size(n, n, where)
    for mode in ("nearest", "linear", "cubic"):
        np.testing.assert_array_equal(matrix(sampling, mode), np.eye(n))


@given(sizes, sizes)
def test_aligned_corners_are_the_corners(n: int, out: int) -> None:
    sampling = Sampling.to_size(n, out, "align_corners")
    assert sampling.place(0) == 0
    assert sampling.place(out - 1) == (n - 1 if out > 1 else 0)


@pytest.mark.parametrize(
    ("rounding", "taken"), [("round_prefer_floor", 0), ("round_prefer_ceil", 1), ("floor", 0), ("ceil", 1)]
)
def test_half_way_between_two(rounding: Rounding, taken: int) -> None:
    (((i, weight),),) = weights(Sampling.to_size(2, 1, "half_pixel"), "nearest", rounding)
    assert (i, weight) == (taken, 1)


@pytest.mark.parametrize(
    ("mode", "where", "rounding", "theirs"),
    [
        ("nearest", "asymmetric", "floor", {"mode": "nearest"}),
        ("nearest", "half_pixel", "round_prefer_ceil", {"mode": "nearest-exact"}),
        ("linear", "half_pixel", "floor", {"mode": "bilinear"}),
        ("linear", "align_corners", "floor", {"mode": "bilinear", "align_corners": True}),
        ("cubic", "half_pixel", "floor", {"mode": "bicubic"}),
        ("cubic", "align_corners", "floor", {"mode": "bicubic", "align_corners": True}),
    ],
)
@pytest.mark.parametrize(("n", "out"), [(5, 12), (8, 4), (9, 2), (1, 4), (7, 1), (6, 5)])
def test_as_torch_interpolates(
    mode: Mode, where: Coordinates, rounding: Rounding, theirs: dict[str, Any], n: int, out: int
) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, n))
    expected = torch.nn.functional.interpolate(torch.from_numpy(x)[:, None, None], (1, out), **theirs)[:, 0, 0]
    found = x @ matrix(Sampling.to_size(n, out, where), mode, rounding).T
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)


def test_a_size_or_a_scale() -> None:
    for layer in (Resize(), Resize(size=3, scale=2.0)):
        with pytest.raises(ShapeError, match="`size` or `scale`"):
            layer.infer((3, 4, 4))
