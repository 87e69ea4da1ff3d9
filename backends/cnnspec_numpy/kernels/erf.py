"""The error function, which NumPy lacks."""

from __future__ import annotations

import numpy as np

from cnnspec.arrays import Array

# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969), in the digits of his
# CALERF; the highest power first.
_NEAR_ZERO = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_BEYOND = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)


def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ exp(−t²) dt, to a few units in the last place of the dtype: x [...] -> y [...]."""
    near = np.clip(x, -0.46875, 0.46875)
    far = np.clip(abs(x), 0.46875, 6)  # erf(6) is 1 in float64
    inside = near * _ratio(_NEAR_ZERO, near * near)
    outside = 1 - np.exp(-far * far) * _ratio(_BEYOND, far)
    return np.where(abs(x) <= 0.46875, inside, np.copysign(outside, x))


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (np.full_like(x, series[0]) for series in coefficients)
    for a, b in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        above *= x
        above += a
        below *= x
        below += b
    above /= below
    return above
