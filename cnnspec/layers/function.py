"""Further functions of each number: saturating ones, and those of arithmetic."""

from __future__ import annotations

import math

from cnnspec.layers.activation import Activation
from cnnspec.layers.base import Inferred, Shape, ShapeError
from cnnspec.layers.fields import Positive


class Clipped(Activation):
    """y = min(max(x, min), max), with the limits as fields."""

    monotone = True
    piecewise = True

    @property
    def limits(self) -> tuple[float, float]:
        """(min, max), infinite where there is none."""
        raise NotImplementedError

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        low, high = self.limits
        if low >= high:
            raise ShapeError(
                "invalid-value",
                f"`{{name}}` has the `min` {low:g} and the `max` {high:g}",
                field="min" if "min" in self.model_fields_set else "max",
                label="`min` is less than `max`",
                remedies=(f"`min: {high:g}, max: {low:g}`",) if low > high else (),
            )
        return Inferred(inputs[0])


class Clip(Clipped):
    """y = min(max(x, min), max); either limit may be left out.

    x [n, ...] -> y [n, ...]

        - clip: {min: 0, max: 1}
    """

    kind = "clip"

    min: float | None = None
    """The least value; without it, small numbers stay."""
    max: float | None = None
    """The largest value; without it, large numbers stay."""

    @property
    def limits(self) -> tuple[float, float]:
        """(min, max), infinite where there is none."""
        return (-math.inf if self.min is None else self.min, math.inf if self.max is None else self.max)

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        if self.min is None and self.max is None:
            remedies = ("`clip: {min: 0}`", "`clip: {max: 1}`", "`clip: {min: 0, max: 1}`")
            raise ShapeError("missing-key", "`{name}` has neither `min` nor `max`", remedies=remedies)
        return super().infer(*inputs)


class HardTanh(Clipped):
    """y = min(max(x, min), max), from −1 to 1 unless given.

    x [n, ...] -> y [n, ...]

        - hard_tanh

    Collobert 2004.
    """

    kind = "hard_tanh"

    min: float = -1.0
    """The least value."""
    max: float = 1.0
    """The largest value."""

    @property
    def limits(self) -> tuple[float, float]:
        """(min, max)."""
        return self.min, self.max


class ThresholdedRelu(Activation):
    """y = x where greater than alpha, 0 elsewhere.

    x [n, ...] -> y [n, ...]

        - thresholded_relu

    Konda, Memisevic & Krueger 2014; it jumps at alpha.
    """

    kind = "thresholded_relu"
    piecewise = True
    main = "alpha"

    alpha: float = 1.0
    """The threshold."""

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        """Whether alpha is not negative."""
        return self.alpha >= 0


class Celu(Activation):
    """y = x where positive, alpha·(exp(x / alpha) − 1) elsewhere.

    x [n, ...] -> y [n, ...]

        - celu

    Barron 2017.
    """

    kind = "celu"
    monotone = True
    piecewise = False
    main = "alpha"

    alpha: Positive = 1.0
    """The limit at −∞, negated."""


class Softsign(Activation):
    """y = x / (1 + |x|).

    x [n, ...] -> y [n, ...]

        - softsign

    Turian, Bergstra & Bengio 2009.
    """

    kind = "softsign"
    monotone = True
    piecewise = False

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the denominator."""
        return math.prod(inputs[0]) * itemsize


class LogSigmoid(Activation):
    """y = −log(1 + exp(−x)), the logarithm of the sigmoid.

    x [n, ...] -> y [n, ...]

        - log_sigmoid
    """

    kind = "log_sigmoid"
    monotone = True
    piecewise = False


class Abs(Activation):
    """y = |x|.

    x [n, ...] -> y [n, ...]

        - abs
    """

    kind = "abs"
    monotone = False
    piecewise = True


class Exp(Activation):
    """y = exp(x).

    x [n, ...] -> y [n, ...]

        - exp
    """

    kind = "exp"
    monotone = True
    piecewise = False
    saves_input = False
    saves_output = True
    precision = "float32"


class OnDomain(Activation):
    """A function that is no number (NaN) outside of its domain.

    It is not declared monotone: the maximum of a window in which one number is invalid is invalid too.
    """

    monotone = False
    piecewise = False


class Log(OnDomain):
    """y = log(x), the natural logarithm: −∞ at zero, and no number (NaN) below.

    x [n, ...] -> y [n, ...]

        - log
    """

    kind = "log"
    precision = "float32"


class Sqrt(OnDomain):
    """y = √x; no number (NaN) below zero.

    x [n, ...] -> y [n, ...]

        - sqrt
    """

    kind = "sqrt"
    saves_input = False
    saves_output = True


class Power(OnDomain):
    """y = x^exponent: 2 squares, −1 is the reciprocal.

    x [n, ...] -> y [n, ...]

        - power: 2

    With an exponent that is not whole, it is no number (NaN) below zero.
    """

    kind = "power"
    precision = "float32"
    main = "exponent"

    exponent: float
    """The exponent."""

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether the exponent is 0 or 1."""
        return self.exponent in (0, 1)
