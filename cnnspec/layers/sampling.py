"""The arithmetic of resizing along one axis: how many samples, where each lies, and what it takes from its neighbours.

Coordinates are fractions, so that no rounding decides between two neighbours.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

Mode = Literal["nearest", "linear", "cubic"]
Coordinates = Literal["half_pixel", "align_corners", "asymmetric"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

TAPS: dict[Mode, int] = {"nearest": 1, "linear": 2, "cubic": 4}
"""How many neighbours a sample is computed from."""


def as_written(scale: float) -> Fraction:
    """Return the factor that is meant by a written one: 0.29 is 29/100, and 0.6666666666666666 is 2/3."""
    return Fraction(scale).limit_denominator(10**6)


class Sampling(NamedTuple):
    """Samples of an axis of `n` numbers, `out` in all, by a factor of about out / n."""

    n: int
    out: int
    scale: Fraction
    coordinates: Coordinates

    @classmethod
    def to_size(cls, n: int, out: int, coordinates: Coordinates) -> Sampling:
        """Return the samples that give a size."""
        return cls(n, out, Fraction(out, n), coordinates)

    @classmethod
    def by_scale(cls, n: int, scale: float, coordinates: Coordinates) -> Sampling:
        """Return the samples of a factor: ⌊n·scale⌋ of them."""
        exact = as_written(scale)
        return cls(n, math.floor(n * exact), exact, coordinates)

    @property
    def step(self) -> Fraction:
        """The distance of two samples, in elements of the input."""
        if self.coordinates != "align_corners":
            return 1 / self.scale
        return Fraction(self.n - 1, self.out - 1) if self.out > 1 else Fraction(0)

    def place(self, position: int) -> Fraction:
        """Return where a sample lies; number i of the input lies at i."""
        if self.coordinates == "half_pixel":
            return (position + Fraction(1, 2)) * self.step - Fraction(1, 2)
        return position * self.step

    def read_by(self, position: int, mode: Mode, rounding: Rounding = "round_prefer_floor") -> range:
        """Return the elements that a sample is computed from, first to last; those with the weight 0 do not count."""
        taps = [i for i, weight in _taps(self.place(position), mode, rounding, -0.75) if weight]
        first, last = (min(max(i, 0), self.n - 1) for i in (min(taps), max(taps)))
        return range(first, last + 1)


@cache
def weights(
    sampling: Sampling, mode: Mode, rounding: Rounding = "round_prefer_floor", cubic: float = -0.75
) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return, for each sample, the numbers that it takes and the weight of each; beyond an end lies its last number."""
    return tuple(
        tuple((min(max(i, 0), sampling.n - 1), weight) for i, weight in _taps(place, mode, rounding, cubic))
        for place in map(sampling.place, range(sampling.out))
    )


def _taps(place: Fraction, mode: Mode, rounding: Rounding, cubic: float) -> list[tuple[int, float]]:
    first = math.floor(place)
    t = float(place - first)
    if mode == "nearest":
        return [(_rounded(place, rounding), 1.0)]
    if mode == "linear":
        return [(first, 1 - t), (first + 1, t)]
    return [(first + i, _keys(abs(t - i), cubic)) for i in (-1, 0, 1, 2)]


def _rounded(place: Fraction, rounding: Rounding) -> int:
    match rounding:
        case "floor":
            return math.floor(place)
        case "ceil":
            return math.ceil(place)
        case "round_prefer_ceil":
            return math.floor(place + Fraction(1, 2))
    return math.ceil(place - Fraction(1, 2))


def _keys(t: float, a: float) -> float:
    """Return the weight of a number at the distance t: Keys 1981, equation 4 with a for −1/2."""
    if t <= 1:
        return ((a + 2) * t - (a + 3)) * t * t + 1
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
