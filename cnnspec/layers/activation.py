"""Activations: one function applied to every number, and the softmax along an axis."""

from __future__ import annotations

from typing import Literal

from cnnspec.layers.base import Inferred, Parameter, Rescaled, SameShape, Shape
from cnnspec.layers.fields import Positive
from cnnspec.layers.geometry import AxisName
from cnnspec.layers.named_axes import position


class Activation(SameShape):
    """A non-linear function of each number by itself, or of the channels at each position."""

    family = "activation"
    elementwise = True
    linear = False


class AlongAxis(Activation):
    """A function of the numbers along one axis: probabilities of what the axis tells apart."""

    elementwise = False
    monotone = False
    piecewise = False
    saves_input = False
    saves_output = True
    precision = "float32"
    main = "axis"

    axis: AxisName = "channels"
    """The axis along which the numbers sum to one."""

    @property
    def normalises_classes(self) -> bool:  # type: ignore[override]
        """Whether the axis is that of the classes."""
        return self.axis == "channels"

    def infer(self, *inputs: Shape) -> Inferred:
        """Return the shape of the input."""
        self.position(inputs[0])
        return Inferred(inputs[0])

    def position(self, shape: Shape) -> int:
        """Return the place of the axis in the shape of a sample."""
        return position(self.axis, shape, "axis")


class Relu(Activation):
    """y = max(x, 0).

    x [n, ...] -> y [n, ...]

        - relu

    Nair & Hinton 2010; textbook 2.
    """

    kind = "relu"
    monotone = True
    piecewise = True
    saves_input = False
    saves_output = True


class Relu6(Activation):
    """y = min(max(x, 0), 6).

    x [n, ...] -> y [n, ...]

        - relu6

    Howard et al. 2017 (MobileNet).
    """

    kind = "relu6"
    monotone = True
    piecewise = True


class LeakyRelu(Activation):
    """y = x where positive, slope·x elsewhere.

    x [n, ...] -> y [n, ...]

        - leaky_relu

    Maas, Hannun & Ng 2013.
    """

    kind = "leaky_relu"
    piecewise = True
    main = "slope"

    slope: float = 0.01
    """Factor of negative numbers."""

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        """Whether the slope is not negative."""
        return self.slope >= 0


class Prelu(Activation):
    """y = x where positive, weight·x elsewhere, with a learned weight for each channel or for all.

    x [n, c, ...] -> y [n, c, ...]

        - prelu

    He et al. 2015; parameter weight [c], or [1] with `shared: true`.
    """

    kind = "prelu"
    monotone = False
    piecewise = True
    precision = "format"

    shared: bool = False
    """One weight for all channels."""
    slope: float = 0.25
    """Initial value of the weights."""

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight [c] or [1]."""
        return {"weight": Parameter((1,) if self.shared else inputs[0][:1], self.slope)}


class Elu(Activation):
    """y = x where positive, alpha·(exp(x) − 1) elsewhere.

    x [n, ...] -> y [n, ...]

        - elu

    Clevert, Unterthiner & Hochreiter 2015.
    """

    kind = "elu"
    main = "alpha"

    alpha: float = 1.0
    """The limit at −∞, negated."""

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        """Whether alpha is not negative."""
        return self.alpha >= 0

    @property
    def piecewise(self) -> bool:  # type: ignore[override]
        """Whether the derivative jumps at zero, from alpha to 1."""
        return self.alpha != 1


class Selu(Activation):
    """y = 1.0507·x where positive, 1.0507·1.67326·(exp(x) − 1) elsewhere.

    x [n, ...] -> y [n, ...]

        - selu

    Klambauer et al. 2017.
    """

    kind = "selu"
    monotone = True
    piecewise = True


class Gelu(Activation):
    """y = x·Φ(x), with Φ the normal distribution function.

    x [n, ...] -> y [n, ...]

        - gelu

    Hendrycks & Gimpel 2016; `approximate: tanh` is their tanh form.
    """

    kind = "gelu"
    monotone = False
    piecewise = False
    main = "approximate"

    approximate: Literal["none", "tanh"] = "none"
    """Form of Φ: exact, or by tanh."""


class Silu(Activation):
    """y = x·sigmoid(x).

    x [n, ...] -> y [n, ...]

        - silu

    Elfwing, Uchibe & Doya 2017; also called swish.
    """

    kind = "silu"
    monotone = False
    piecewise = False


class Mish(Activation):
    """y = x·tanh(softplus(x)).

    x [n, ...] -> y [n, ...]

        - mish

    Misra 2019.
    """

    kind = "mish"
    monotone = False
    piecewise = False


class Sigmoid(Activation):
    """y = 1 / (1 + exp(−x)).

    x [n, ...] -> y [n, ...]

        - sigmoid

    Textbook 2.
    """

    kind = "sigmoid"
    monotone = True
    piecewise = False
    saves_input = False
    saves_output = True

    @property
    def rescaled(self) -> Rescaled:  # type: ignore[override]
        """½ + ½ · tanh(x / 2)."""
        return Rescaled(Tanh(), factor=0.5, scale=0.5, shift=0.5)


class HardSigmoid(Activation):
    """y = min(max(slope·x + offset, 0), 1).

    x [n, ...] -> y [n, ...]

        - hard_sigmoid

    Howard et al. 2019 (MobileNetV3), as in PyTorch: min(max(x + 3, 0), 6) / 6. `{slope: 0.2, offset: 0.5}` is the
    default of ONNX and of Keras 2 (Courbariaux, Bengio & David 2015).
    """

    kind = "hard_sigmoid"
    monotone = True
    piecewise = True

    slope: Positive = 1 / 6
    """Factor of x."""
    offset: float = 0.5
    """The value at 0."""

    @property
    def shift(self) -> float:
        """What is added to x in the form min(max(x + shift, 0), width) / width."""
        return self.offset / self.slope

    @property
    def width(self) -> float:
        """The width of the slope in that form."""
        return 1 / self.slope


class Tanh(Activation):
    """y = (exp(x) − exp(−x)) / (exp(x) + exp(−x)).

    x [n, ...] -> y [n, ...]

        - tanh

    LeCun et al. 1998.
    """

    kind = "tanh"
    monotone = True
    piecewise = False
    saves_input = False
    saves_output = True


class HardSwish(Activation):
    """y = x·min(max(x + 3, 0), 6) / 6.

    x [n, ...] -> y [n, ...]

        - hard_swish

    Howard et al. 2019 (MobileNetV3).
    """

    kind = "hard_swish"
    monotone = False
    piecewise = True


class Softplus(Activation):
    """y = log(1 + exp(beta·x)) / beta.

    x [n, ...] -> y [n, ...]

        - softplus

    Dugas et al. 2001.
    """

    kind = "softplus"
    monotone = True
    piecewise = False
    precision = "float32"
    main = "beta"

    beta: Positive = 1.0
    """Sharpness of the bend."""


class Softmax(AlongAxis):
    """y = exp(x) / Σ exp(x) over the channels, or along another axis: positive numbers that sum to one.

    x [n, c, ...] -> y [n, c, ...]

        - softmax

    Bridle 1990. A network trained with cross-entropy ends in logits, without it.
    """

    kind = "softmax"


class LogSoftmax(AlongAxis):
    """y = x − log Σ exp(x) over the channels, or along another axis.

    x [n, c, ...] -> y [n, c, ...]

        - log_softmax
    """

    kind = "log_softmax"
