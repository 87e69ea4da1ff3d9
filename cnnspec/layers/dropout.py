"""Layers that drop numbers at random in training."""

from __future__ import annotations

from cnnspec.layers.base import Elementwise, Shape
from cnnspec.layers.fields import Fraction01


class Dropped(Elementwise):
    """Layers that multiply by a random mask in training, and are the identity at inference."""

    main = "rate"
    monotone = True
    linear = True
    piecewise = False
    stochastic = True
    aliases_input = True
    saves_input = False

    rate: Fraction01
    """Probability of zero, in [0, 1)."""


class Dropout(Dropped):
    """In training, each number is zero with the given probability and scaled up otherwise; at inference, the identity.

    x [n, ...] -> y [n, ...]

        - dropout: 0.5

    Srivastava et al. 2014, in the inverted form: what stays is divided by 1 − rate.
    """

    kind = "dropout"


class SpatialDropout(Dropped):
    """In training, each channel of a sample is zero with the given probability and scaled up otherwise.

    x [n, c, ...] -> y [n, c, ...]

        - spatial_dropout: 0.1

    Tompson et al. 2015, section 3.2: the numbers of a channel, which are much alike, are dropped together. What stays
    is divided by 1 − rate; at inference, the identity.
    """

    kind = "spatial_dropout"

    def mask_shape(self, shape: Shape) -> Shape:
        """Return [c, 1, ...]."""
        return (shape[0], *[1] * (len(shape) - 1))


class StochasticDepth(Dropped):
    """In training, the whole sample is zero with the given probability and scaled up otherwise.

    x [n, ...] -> y [n, ...]

        - add: {main: [conv: {channels: 12, kernel: 3, padding: same}, stochastic_depth: 0.2], skip: []}

    Huang et al. 2016, at the end of a branch: the sample takes the other branches alone. What stays is divided by
    1 − rate, so that at inference, where the paper multiplies by 1 − rate, it is the identity.
    """

    kind = "stochastic_depth"

    def mask_shape(self, shape: Shape) -> Shape:
        """Return [1, ...]."""
        return (1,) * len(shape)
