"""Layers over vectors, and the step from images to them."""

from __future__ import annotations

import math

from cnnspec.layers.base import Elementwise, Fields, Inferred, Layer, Parameter, Shape, ShapeError, whole_field
from cnnspec.layers.conv import Weighted
from cnnspec.layers.fields import Count, Fraction01
from cnnspec.wording import by


class Dense(Weighted):
    """Every input into every output: y = W·x + b.

    x [n, f] -> y [n, o]

        - dense: 120

    Weight [o, f].
    """

    kind = "dense"
    main = "units"

    units: Count
    """Outputs."""

    def infer(self, *inputs: Shape) -> Inferred:
        """[units] from [f]."""
        if len(inputs[0]) != 1:
            raise ShapeError(
                "needs-vector",
                f"`{{name}}` takes a vector, and gets an image of {by(inputs[0])}",
                label="needs a flat vector",
                remedies=("put `flatten` or `global_avg_pool` before it",),
                input_index=0,
            )
        return Inferred((self.units,))

    @property
    def always(self) -> Shape:
        """[units], whatever comes in."""
        return (self.units,)

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """weight [o, f] and bias [o]."""
        (f,) = inputs[0]
        return self.weight_and_bias((self.units, f), f, self.units, self.units)

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """o·f."""
        return self.units * inputs[0][0]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """o × f with the numbers."""
        return f"{self.units} × {inputs[0][0]}"

    def field(self, seen: Fields, inputs: tuple[Shape, ...], shape: Shape) -> Fields:
        """Everything."""
        return whole_field(seen)


class Flatten(Layer):
    """The image as one vector, channel by channel and row by row.

    x [n, c, h, w] -> y [n, f]

        - flatten
    """

    kind = "flatten"
    view = True

    def infer(self, *inputs: Shape) -> Inferred:
        """[c·h·w] from [c, h, w]; a vector stays as it is."""
        return Inferred((math.prod(inputs[0]),))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """The product."""
        return [("length", f"{'·'.join(map(str, inputs[0]))} = {shape[0]}")]


class Dropout(Elementwise):
    """While training, each number is zero with the given probability and else scaled up; otherwise the identity.

    x [n, ...] -> y [n, ...]

        - dropout: 0.5

    Srivastava et al. 2014, in the inverted form: what stays is divided by 1 − rate.
    """

    kind = "dropout"
    main = "rate"
    view = True

    rate: Fraction01
    """Probability of zero, in [0, 1)."""
