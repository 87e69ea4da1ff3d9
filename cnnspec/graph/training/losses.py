"""Losses: what a target is, and which outputs can be trained with it.

A loss is a sum over the elements of a batch, divided by a number that depends on the targets alone: the number of
samples, of elements, or the sum of the weights of the classes. So it is the same whether a batch is computed at once or
in parts.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from cnnspec.graph.settings import Choice
from cnnspec.graph.training.types import PerClass
from cnnspec.layers import Shape
from cnnspec.layers.fields import Fraction01, Natural, Positive
from cnnspec.wording import format_shape

Task = Literal["classification", "segmentation", "multi-label", "regression"]


class Loss(Choice):
    """The function that training minimises."""

    title: ClassVar[str]
    """Its name in a sentence."""
    targets: ClassVar[Literal["classes", "labels", "numbers"]]
    """What a target is: the index of a class, for each sample or each position of a map; or an array of the output's
    shape, of labels from 0 to 1, or of any numbers."""
    applies: ClassVar[str | None] = None
    """The kind of layer that it applies to the output of the network itself."""

    weight: Positive = 1.0
    """Factor of it in the sum of the losses of all outputs."""

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return why an output of this shape (called `name`, of several) cannot have this loss, "" where it can."""
        return ""

    def remedy(self, shape: Shape) -> str:
        """Return what to do about a misfit of an output of that shape."""
        return ""

    def target_shape(self, shape: Shape) -> Shape:
        """Return the shape of a sample's target, for an output of that shape."""
        return shape[1:] if self.targets == "classes" else shape

    def classes(self, shape: Shape) -> int:
        """Return the number of classes that an output of that shape tells apart: 2 by one channel."""
        return max(2, shape[0])

    def task(self, shape: Shape) -> Task:
        """Return what training an output of that shape with this loss is."""
        if self.targets == "numbers":
            return "regression"
        if len(shape) > 1 and (self.targets == "classes" or shape[0] == 1):
            return "segmentation"
        return "classification" if self.targets == "classes" else "multi-label"

    @property
    def ignored(self) -> int | None:
        """The class whose samples or positions do not count, if there is one."""
        return None


def _output(shape: Shape, name: str) -> str:
    found = "one number" if shape == (1,) else format_shape(shape)
    return f"the output `{name}` is {found}" if name else f"the output is {found}"


class CrossEntropy(Loss):
    """−Σ w[t] · log softmax(y)[t] / Σ w[t], with the target t of each sample or position and its weight w.

    y are logits. Without `class_weights` that is the mean over the batch, and over the positions of a map.
    """

    kind = "cross_entropy"
    title = "cross-entropy"
    targets = "classes"
    applies = "softmax"
    main = "label_smoothing"

    label_smoothing: Fraction01 = 0.0
    """Fraction of the target that is spread over all classes (Szegedy et al. 2015, section 7)."""
    class_weights: PerClass = ()
    """Weight of each class, for classes that are rare; all are 1 by default."""
    ignore: Natural | None = None
    """The class whose samples or positions do not count: 255 in many masks."""

    @property
    def ignored(self) -> int | None:
        """The value of `ignore`."""
        return self.ignore

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return "" for scores of two classes or more: a vector, or a map of more than one position."""
        if shape[0] < 2 or (len(shape) > 1 and set(shape[1:]) == {1}):
            return f"cross-entropy needs a score for each class; {_output(shape, name)}"
        if self.class_weights and len(self.class_weights) != shape[0]:
            return f"`class_weights` has {len(self.class_weights)} numbers; {_output(shape, name)}"
        return ""

    def remedy(self, shape: Shape) -> str:
        """Return what makes scores of classes of the output, or which loss takes it as it is."""
        one_position = len(shape) > 1 and set(shape[1:]) == {1}
        if shape[0] > 1:
            return "end it with `flatten`" if one_position else f"give {shape[0]} numbers, one for each class"
        if len(shape) > 1 and not one_position:
            return "end it with a `conv` that has a channel for each class, or use `dice`, for which one channel is two"
        return (
            "end it with a `dense` that has a unit for each class, or use `binary_cross_entropy` for two classes, "
            "`mean_squared_error` for numbers"
        )


class Dice(Loss):
    """1 − (2 · Σ p·t + smooth) / (Σ p + Σ t + smooth), the mean over samples and classes (Milletari et al. 2016).

    The sums are over the positions of a sample's map: p is softmax(y) for a class, and t is 1 where the target is that
    class. An output of one channel has a sigmoid in place of the softmax, and the classes 0 and 1.
    """

    kind = "dice"
    title = "the dice loss"
    targets = "classes"
    applies = "softmax"
    main = "smooth"

    smooth: Positive = 1.0
    """Added above and below, so that a class that is nowhere has no loss."""
    background: bool = True
    """Whether class 0 counts, as the others do, where there are several channels."""
    ignore: Natural | None = None
    """The class whose positions do not count: 255 in many masks."""

    @property
    def ignored(self) -> int | None:
        """The value of `ignore`."""
        return self.ignore

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return "" for a map of scores."""
        if len(shape) < 2:
            return f"the dice loss needs a map of scores for each class; {_output(shape, name)}"
        return ""

    def remedy(self, shape: Shape) -> str:
        """Return what makes maps of the output, or which loss takes it as it is."""
        return "end it with a `conv` that has a channel for each class, or use `cross_entropy`"


class BinaryCrossEntropy(Loss):
    """−(w · t · log σ(y) + (1 − t) · log(1 − σ(y))), the mean over all elements: each output is a label of its own."""

    kind = "binary_cross_entropy"
    title = "binary cross-entropy"
    targets = "labels"
    applies = "sigmoid"
    main = "positive_weight"

    positive_weight: PerClass = (1.0,)
    """Weight w of the target 1; one number, or one for each label."""

    def misfit(self, shape: Shape, name: str = "") -> str:
        """Return "" where there is one weight, or one for each label."""
        if len(self.positive_weight) not in (1, shape[0]):
            return f"`positive_weight` has {len(self.positive_weight)} numbers; {_output(shape, name)}"
        return ""

    def remedy(self, shape: Shape) -> str:
        """Return how many weights fit the output."""
        return "give one number" + (f", or {shape[0]}, one for each label" if shape[0] > 1 else "")


class MeanSquaredError(Loss):
    """(y − target)², the mean over all elements."""

    kind = "mean_squared_error"
    title = "mean squared error"
    targets = "numbers"


class L1(Loss):
    """|y − target|, the mean over all elements."""

    kind = "l1"
    title = "the mean absolute error"
    targets = "numbers"


class Huber(Loss):
    """½ · d² where |d| ≤ delta, delta · (|d| − ½ · delta) elsewhere, with d = y − target; the mean over all elements.

    Huber 1964, as in PyTorch.
    """

    kind = "huber"
    title = "the Huber loss"
    targets = "numbers"
    main = "delta"

    delta: Positive = 1.0
    """Where the square ends and the line begins."""


AnyLoss = CrossEntropy | Dice | BinaryCrossEntropy | MeanSquaredError | L1 | Huber
LOSSES: dict[str, type[Choice]] = {
    cls.kind: cls for cls in (CrossEntropy, Dice, BinaryCrossEntropy, MeanSquaredError, L1, Huber)
}
