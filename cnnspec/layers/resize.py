"""Resizing: samples of the input at a given number of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cnnspec.layers.axes import along_axes, check_mode, spatial
from cnnspec.layers.base import Fields, Inferred, Shape, ShapeError
from cnnspec.layers.fields import Size, fault
from cnnspec.layers.geometry import AXES
from cnnspec.layers.sampling import TAPS, Coordinates, Mode, Rounding, Sampling
from cnnspec.layers.shape import Rearranged
from cnnspec.wording import describe

Factors = float | tuple[float, ...]


def _factors(value: Any) -> Factors:
    if isinstance(value, list | tuple):
        if len(value) not in AXES:
            raise fault("invalid-value", f"takes one factor or one for each axis, not {describe(value)}")
        return tuple(_factor(factor, i) for i, factor in enumerate(value))
    return _factor(value)


def _factor(value: Any, *at: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("wrong-type", f"takes a number, not {describe(value)}", *at)
    if not 1e-6 <= value <= 1e6:
        raise fault("invalid-value", f"takes a factor from 0.000001 to 1,000,000, not {describe(value)}", *at)
    return value


_FACTOR: dict[str, Any] = {"type": "number", "minimum": 1e-6, "maximum": 1e6}

FactorsField = Annotated[
    Factors,
    PlainValidator(_factors),
    PlainSerializer(lambda v: v if isinstance(v, int | float) else list(v)),
    WithJsonSchema({"anyOf": [_FACTOR, {"type": "array", "items": _FACTOR, "minItems": 1, "maxItems": max(AXES)}]}),
]
"""One factor for every spatial axis, or a list with one for each."""


class Resize(Rearranged):
    """The input sampled at another number of places: to a size, or by a factor.

    x [n, c, h, w] -> y [n, c, oh, ow]

        - resize: {scale: 1.5, mode: bicubic}

    `resize: [14, 14]` and `resize: {like: name}` give the size; with a factor it is ⌊n·scale⌋. Sample i of n numbers
    lies at (i + ½)/scale − ½ (half_pixel: the areas of the first and the last numbers count; PyTorch's
    align_corners=False), at i·(n − 1)/(out − 1) (align_corners: the outermost samples are the outermost numbers), or at
    i/scale (asymmetric). Beyond an end lies its last number. Cubic: Keys 1981. The names of the fields' values are
    those of ONNX's Resize; `linear` is also called `bilinear` on images and `trilinear` on volumes, `cubic` `bicubic`.
    """

    kind = "resize"
    precision = "float32"
    main = "size"
    like = "size"

    size: Size | None = None
    """Size of the output."""
    scale: FactorsField | None = None
    """The factor along each axis, in place of a size."""
    mode: Literal["nearest", "linear", "bilinear", "trilinear", "cubic", "bicubic"] = "nearest"
    """Take the nearest number, or interpolate between 2 or 4 along each axis."""
    coordinates: Coordinates = "half_pixel"
    """Where the samples lie."""
    rounding: Rounding = "round_prefer_floor"
    """Which number is the nearest: to a place half way between two, the one before or after; or always that one."""
    cubic_coeff: float = -0.75
    """The coefficient of `cubic`: the slope of its weights at distance 1; PyTorch's is -0.75, TensorFlow's -0.5."""

    @property
    def method(self) -> Mode:
        """The mode, whatever the number of axes."""
        return _METHODS[self.mode]

    def samplings(self, shape: Shape) -> tuple[Sampling, ...]:
        """Return the samples along each spatial axis of an input of this shape."""
        sizes = shape[1:]
        if self.size is not None:
            wanted = along_axes(self.size, len(sizes), "size")
            return tuple(Sampling.to_size(n, out, self.coordinates) for n, out in zip(sizes, wanted, strict=True))
        assert self.scale is not None
        scales = along_axes(self.scale, len(sizes), "scale")
        return tuple(Sampling.by_scale(n, scale, self.coordinates) for n, scale in zip(sizes, scales, strict=True))

    def infer(self, *inputs: Shape) -> Inferred:
        """Return [c, *size], or [c, ⌊h·scale⌋, ⌊w·scale⌋], for [c, h, w]."""
        sizes = spatial(self.kind, inputs[0])
        if self.size is None and self.scale is None:
            raise ShapeError("missing-key", "`{name}` needs `size` or `scale`", remedies=(f"`resize: {list(sizes)}`",))
        if self.size is not None and self.scale is not None:
            raise ShapeError(
                "invalid-value",
                "`{name}` takes `size` or `scale`, and has both",
                field="scale",
                remedies=("leave one of them out",),
            )
        check_mode(self.mode, len(sizes))
        samplings = self.samplings(inputs[0])
        for name, sampling in zip(AXES[len(sizes)], samplings, strict=True):
            if not sampling.out:
                raise ShapeError(
                    "cut-to-nothing",
                    f"nothing is left of the {name}",
                    field="scale",
                    label=f"⌊{sampling.n} · {float(sampling.scale):g}⌋ = 0",
                    remedies=(f"a factor of at least 1/{sampling.n}",),
                    larger_input=True,
                )
        return Inferred((inputs[0][0], *(sampling.out for sampling in samplings)))

    def receptive_field(self, seen: Fields, inputs: tuple[Shape, ...], inferred: Inferred) -> Fields:
        """Return the field of the numbers that a sample is computed from; a step of q/p numbers is q on a grid of p."""
        found = []
        for field, sampling in zip(seen, self.samplings(inputs[0]), strict=True):
            step = sampling.step
            taps = 1 if step == 1 else TAPS[self.method]
            finer = field.transposed(taps * step.denominator, step.denominator, sampling.n * step.denominator)
            found.append(finer.slide(1, max(1, step.numerator), sampling.out))
        return tuple(found)

    def read_ranges(self, position: Sequence[int], inputs: tuple[Shape, ...], inferred: Inferred) -> tuple[range, ...]:
        """Return the elements that a sample is computed from."""
        axes = zip(self.samplings(inputs[0]), position, strict=True)
        return tuple(sampling.read_by(i, self.method, self.rounding) for sampling, i in axes)

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """Return the products of a factor, or the sizes."""
        samplings = self.samplings(inputs[0])
        if self.scale is None:
            return [
                (name, f"{s.out} samples of {s.n}") for name, s in zip(AXES[len(samplings)], samplings, strict=True)
            ]
        return [
            (name, f"⌊{s.n} · {float(s.scale):g}⌋ = {s.out}")
            for name, s in zip(AXES[len(samplings)], samplings, strict=True)
        ]


_METHODS: dict[str, Mode] = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "cubic": "cubic",
    "bicubic": "cubic",
}
