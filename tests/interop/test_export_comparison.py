"""Differences of arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnnspec.interop.comparison import Difference, difference, largest, worst

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        ([1.0, -4.0], [1.5, -4.0], (0.5, 0.125)),
        ([NAN, INF, -INF, 2.0], [NAN, INF, -INF, 2.0], (0.0, 0.0)),
        ([NAN, 1.0], [1.0, 1.0], (INF, INF)),
        ([1.0, 1.0], [NAN, 1.0], (INF, INF)),
        ([INF, 1.0], [-INF, 1.0], (INF, INF)),
        ([0.0, 0.0], [0.0, 0.25], (0.25, 0.25)),
        ([1.0], [1.0, 1.0], (INF, INF)),
        ([], [], (0.0, 0.0)),
    ],
)
def test_difference(expected: list[float], actual: list[float], found: tuple[float, float]) -> None:
    assert difference(np.array(expected), np.array(actual)) == found


def test_the_largest_of_several() -> None:
    assert worst([Difference(1, 0.5), Difference(2, 0.25)]) == (2, 0.5)
    one, ten = np.ones(1), np.full(1, 10.0)
    assert largest({"a": one, "b": ten}, {"a": one * 1.5, "b": ten + 2}) == (2, 0.5)
