"""Normalisation: numbers brought to mean 0 and variance 1, then scaled and shifted by learned parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from cnnspec.layers.axes import spatial
from cnnspec.layers.base import Elementwise, Inferred, Parameter, Precision, SameShape, Shape
from cnnspec.layers.conv import divide
from cnnspec.layers.fields import Count, Positive
from cnnspec.layers.geometry import axes_of
from cnnspec.layers.named_axes import AxesField, positions


def _scale_and_shift(shape: Shape) -> dict[str, Parameter]:
    return {"weight": Parameter(shape, 1.0), "bias": Parameter(shape, 0.0)}


class Norm(SameShape):
    """Layers that a `norm:` field may name."""

    family = "norm"

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return one number for each channel."""
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ("channels",))


class BatchNorm(Norm):
    """Each channel normalised over the batch in training, and by running statistics at inference.

    x [n, c, ...] -> y [n, c, ...]

        - batch_norm

    Ioffe & Szegedy 2015. Parameters weight and bias [c]; state running_mean and running_var [c], which move by
    `momentum` towards the batch's mean and unbiased variance, as in PyTorch.
    """

    kind = "batch_norm"
    elementwise = True
    monotone = False
    linear = True
    piecewise = False
    needs_batch_statistics = True
    affine_by_channel = True

    eps: Positive = 1e-5
    """Added to the variance."""
    momentum: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.1
    """Weight of the batch in the running statistics."""

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight, bias, running_mean and running_var [c]."""
        c = inputs[0][:1]
        state = {"running_mean": Parameter(c, 0.0, trainable=False), "running_var": Parameter(c, 1.0, trainable=False)}
        return _scale_and_shift(c) | state

    def scale_and_shift(self, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return weight / √(running_var + eps) and bias − running_mean · that, [c] of NumPy or Torch."""
        scale = arrays["weight"] / (arrays["running_var"] + self.eps) ** 0.5
        return scale, arrays["bias"] - arrays["running_mean"] * scale


class OverAxes(Norm):
    """Norms whose statistics are over chosen axes of a sample, with parameters of the shape of those axes."""

    elementwise = False
    monotone = False
    linear = False
    piecewise = False
    precision = "float32"

    axes: AxesField = ("channels",)
    """The axes that the statistics are taken over: channels, all, or a list of axes such as [height, width]."""
    eps: Positive = 1e-5
    """Added to the variance or the mean square."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        self.positions(inputs[0])
        return Inferred(inputs[0])

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return the axes that the statistics are taken over."""
        own = axes_of((1,) * (1 + rank))
        return dict.fromkeys(("weight", "bias"), tuple(own[i] for i in self.positions((1,) * (1 + rank))))

    def positions(self, shape: Shape) -> tuple[int, ...]:
        """Return the places of the axes in the shape of a sample."""
        return positions(self.axes, shape)

    def parameter_shape(self, shape: Shape) -> Shape:
        """Return the sizes of the axes, in the order of the sample's shape."""
        return tuple(shape[i] for i in self.positions(shape))


class LayerNorm(OverAxes):
    """Each sample normalised by itself: over its channels at every position, over all of it, or over chosen axes.

    x [n, c, ...] -> y [n, c, ...]

        - layer_norm: {eps: 1e-6}

    Ba, Kiros & Hinton 2016. Parameters weight and bias have the shape of the axes: [c] with `axes: channels`, which is
    ConvNeXt's form; the sample's shape with `axes: all`; [h, w] with `axes: [height, width]`.
    """

    kind = "layer_norm"

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight and bias of the shape of the axes."""
        return _scale_and_shift(self.parameter_shape(inputs[0]))


class RmsNorm(OverAxes):
    """Each sample divided by the root of its mean square: over its channels at every position, or over chosen axes.

    x [n, c, ...] -> y [n, c, ...]

        - rms_norm: {eps: 1e-6}

    Zhang & Sennrich 2019: y = weight · x / √(mean of x² + eps); parameter weight of the shape of the axes.
    """

    kind = "rms_norm"

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight of the shape of the axes."""
        return {"weight": Parameter(self.parameter_shape(inputs[0]), 1.0)}


class InstanceNorm(Norm):
    """Each channel of each sample normalised by itself, over its positions.

    x [n, c, ...] -> y [n, c, ...]

        - instance_norm

    Ulyanov, Vedaldi & Lempitsky 2016. Parameters weight and bias [c]; PyTorch's layer has them with `affine=True` only.
    """

    kind = "instance_norm"
    elementwise = False
    monotone = False
    linear = False
    piecewise = False
    precision = "float32"

    affine: bool = True
    """Whether there are a weight and a bias."""
    eps: Positive = 1e-5
    """Added to the variance."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        spatial(self.kind, inputs[0])
        return Inferred(inputs[0])

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight and bias [c]."""
        return _scale_and_shift(inputs[0][:1]) if self.affine else {}


class GroupNorm(Norm):
    """Each sample normalised by itself, over groups of its channels.

    x [n, c, h, w] -> y [n, c, h, w]

        - group_norm: 4

    Wu & He 2018; parameters weight and bias [c].
    """

    kind = "group_norm"
    elementwise = False
    monotone = False
    linear = False
    piecewise = False
    precision = "float32"
    main = "groups"

    groups: Count
    """Number of groups that the channels are split into."""
    eps: Positive = 1e-5
    """Added to the variance."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        spatial(self.kind, inputs[0])
        divide(self.groups, (inputs[0][0], "channels"))
        return Inferred(inputs[0])

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight and bias [c]."""
        return _scale_and_shift(inputs[0][:1])


class LocalResponseNorm(Norm):
    """Each number divided by a power of the sum of squares of the neighbouring channels at its position.

    x [n, c, h, w] -> y [n, c, h, w]

        - local_response_norm: {size: 5, k: 2}

    Krizhevsky, Sutskever & Hinton 2012, section 3.3: y = x / (k + α/size · Σ x²)^β over `size` channels around it;
    α divided by the size as in Caffe, ONNX and PyTorch; of an even size, the channel more comes before, as in PyTorch.
    """

    kind = "local_response_norm"
    elementwise = False
    monotone = False
    linear = False
    piecewise = False
    precision = "promoted"
    main = "size"

    size: Count
    """Number of channels that are summed."""
    alpha: Positive = 1e-4
    """Weight of the sum."""
    beta: Positive = 0.75
    """Exponent."""
    k: Positive = 1.0
    """Added to the sum."""

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        spatial(self.kind, inputs[0])
        return Inferred(inputs[0])

    def saved_bytes(self, inputs: tuple[Shape, ...], inferred: Inferred, itemsize: int) -> int:
        """Return the bytes of the squares with padding channels, of k + α/size · Σ x², and of its power."""
        channels, *sizes = inputs[0]
        return (3 * channels + self.size - 1) * math.prod(sizes) * itemsize


class Scale(Elementwise):
    """Each channel times a learned factor, or everything times one fixed number.

    x [n, c, ...] -> y [n, c, ...]

        - scale: 1e-6

    The layer scale of Touvron et al. 2021 (CaiT); parameter weight [c].
    """

    kind = "scale"
    family = "norm"
    monotone = False
    linear = True
    piecewise = False
    main = "value"

    value: float = 1.0
    """Initial value of the factor."""
    learn: bool = True
    """Whether the factors are learned; if not, the value stays."""

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight [c]."""
        return {"weight": Parameter(inputs[0][:1], self.value)} if self.learn else {}

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return one factor for each channel."""
        return {"weight": ("channels",)}

    @property
    def saves_input(self) -> bool:  # type: ignore[override]
        """Whether the factors are learned, whose gradient is computed from the input."""
        return self.learn

    @property
    def precision(self) -> Precision:  # type: ignore[override]
        """That of the factors, where these are an array."""
        return "promoted" if self.learn else "input"

    @property
    def affine_by_channel(self) -> bool:  # type: ignore[override]
        """Whether the factors are an array."""
        return self.learn

    def scale_and_shift(self, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the weight [c] and zeros [c]."""
        return arrays["weight"], 0 * arrays["weight"]


class Shift(Elementwise):
    """Each channel plus a learned number, or everything plus one fixed number.

    x [n, c, ...] -> y [n, c, ...]

        - shift: 0.5

    The counterpart of `scale`; parameter bias [c]. A convolution or dense layer has its own `bias`.
    """

    kind = "shift"
    family = "norm"
    monotone = True
    linear = True
    piecewise = False
    saves_input = False
    main = "value"

    value: float = 0.0
    """Initial value of what is added."""
    learn: bool = True
    """Whether it is learned for each channel; if not, the value stays."""

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return bias [c]."""
        return {"bias": Parameter(inputs[0][:1], self.value)} if self.learn else {}

    def parameter_axes(self, rank: int) -> Mapping[str, tuple[str, ...]]:
        """Return one number for each channel."""
        return {"bias": ("channels",)}

    @property
    def precision(self) -> Precision:  # type: ignore[override]
        """That of what is added, where it is an array."""
        return "promoted" if self.learn else "input"

    @property
    def affine_by_channel(self) -> bool:  # type: ignore[override]
        """Whether what is added is an array."""
        return self.learn

    def scale_and_shift(self, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return ones and the bias [c]."""
        return 0 * arrays["bias"] + 1, arrays["bias"]
