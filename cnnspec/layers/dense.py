"""Dense layers and flattening."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cnnspec.layers.base import Fields, Inferred, Parameter, Shape, ShapeError, WithoutMacs, whole_field
from cnnspec.layers.conv import Weighted
from cnnspec.layers.fields import Count
from cnnspec.wording import a_noun, format_shape, product


class Dense(Weighted):
    """A fully connected layer: y = W·x + b.

    x [n, f] -> y [n, o]

        - dense: 120

    Weight [o, f].
    """

    kind = "dense"
    family = "dense"
    mac_rule = "each output is a sum of as many products as there are inputs"
    folds_affine_input = True
    main = "units"

    units: Count
    """Number of outputs."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [units] for [f]."""
        if len(inputs[0]) != 1:
            at_every_position = f"a dense layer at every position is `conv: {{channels: {self.units}, kernel: 1}}`"
            raise ShapeError(
                "needs-vector",
                f"`{{name}}` takes a vector, and gets {a_noun(inputs[0])} of {format_shape(inputs[0])}",
                label="needs a flat vector",
                remedies=(at_every_position,) if len(inputs[0]) == 2 else (),
                input_index=0,
            )
        return Inferred((self.units,))

    @property
    def fixed_shape(self) -> Shape:
        """[units], for every input."""
        return (self.units,)

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight [o, f] and bias [o]."""
        (f,) = inputs[0]
        return self.weight_and_bias((self.units, f), f, self.units, self.units)

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return outputs × inputs, and outputs of the bias."""
        return {"weight": ("outputs", "inputs"), "bias": ("outputs",)}

    def macs(self, inputs: tuple[Shape, ...], shape: Shape) -> int:
        """Return o·f."""
        return self.units * inputs[0][0]

    def mac_formula(self, inputs: tuple[Shape, ...], shape: Shape) -> str:
        """Return o × f with the numbers."""
        return f"{self.units} × {inputs[0][0]}"

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the number of outputs."""
        return [("length", f"{shape[0]}, as `units` says")]

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of every position."""
        return whole_field(seen)


class Flatten(WithoutMacs):
    """The image as one vector, channel by channel and row by row.

    x [n, c, h, w] -> y [n, f]

        - flatten
    """

    kind = "flatten"
    family = "shape"
    elementwise = False
    monotone = False
    linear = True
    piecewise = False
    commutes_with_affine = True
    aliases_input = True
    saves_input = False

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c·h·w] for [c, h, w]; a vector stays as it is."""
        return Inferred((math.prod(inputs[0]),))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return that of the input."""
        return seen

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the product."""
        return [("length", f"{product(inputs[0])} = {shape[0]}")]
