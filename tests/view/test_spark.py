"""Lines of bars."""

from __future__ import annotations

import math

import pytest

from cnnspec.view.spark import bar, sparkline


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([7, 0], "█▁"),
        ([2, 2, 2], "▁▁▁"),
        ([], ""),
        ([0, math.nan, 7], "▁ █"),
        ([math.nan], " "),
    ],
)
def test_one_bar_for_each_value(values: list[float], line: str) -> None:
    assert sparkline(values, 60) == line


def test_more_values_than_fit_are_shown_by_means() -> None:
    assert sparkline([0, 0, 7, 7, 3, 4], 3) == "▁█▅"
    assert len(sparkline([float(i) for i in range(1000)], 60)) == 60


def test_a_given_range() -> None:
    assert sparkline([1, 2], 9, low=0, high=8) == "▂▃"


@pytest.mark.parametrize(("fraction", "drawn"), [(0, ""), (1, "████"), (0.5, "██"), (1 / 32, "▏"), (2, "████")])
def test_horizontal_bars(fraction: float, drawn: str) -> None:
    assert bar(fraction, 4) == drawn
