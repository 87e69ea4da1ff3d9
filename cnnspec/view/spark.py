"""Numbers as a line of bars of different heights: ▁▂▃▅▇."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def sparkline(values: Sequence[float], width: int, *, low: float | None = None, high: float | None = None) -> str:
    """Return a bar for each value, from the smallest to the largest (or from `low` to `high`).

    More values than `width` are shown by the mean of each of so many groups; what is no number is a gap.
    """
    shown = grouped(values, width)
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    least, most = min(finite) if low is None else low, max(finite) if high is None else high
    step = (most - least) / len(BARS) or 1.0
    return "".join(_bar((value - least) / step) if math.isfinite(value) else " " for value in shown)


def _bar(height: float) -> str:
    return BARS[min(len(BARS) - 1, max(0, int(height)))]


def grouped(values: Sequence[float], width: int) -> list[float]:
    """Return the values, or the means of `width` groups of nearly the same size where there are more."""
    if len(values) <= width:
        return list(values)
    edges = [i * len(values) // width for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def bar(fraction: float, width: int) -> str:
    """Return a horizontal bar: `width` cells for the fraction 1, in steps of an eighth of a cell."""
    eighths = round(min(1.0, max(0.0, fraction)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[part]).rstrip()
