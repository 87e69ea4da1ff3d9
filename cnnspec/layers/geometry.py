"""The only window arithmetic: how far a window reaches, where its zeros go, how many places it has.

With n input, k kernel, p *total* padding and s stride, the textbook chapter (section 1.2) has

    out = ⌊(n − k + p + s) / s⌋

and everything in this file is that line, one axis at a time.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

Auto = Literal["valid", "same", "same_upper", "same_lower"]
AUTO: tuple[Auto, ...] = ("valid", "same", "same_upper", "same_lower")


class Pads(NamedTuple):
    """Rows and columns added on each side."""

    top: int
    bottom: int
    left: int
    right: int

    def __str__(self) -> str:
        return f"{self.top} top, {self.bottom} bottom, {self.left} left, {self.right} right"

    @property
    def symmetric(self) -> bool:
        """Whether both ends of each axis get the same."""
        return self.top == self.bottom and self.left == self.right


class Total(NamedTuple):
    """The textbook's padding: rows (columns) added on both sides together."""

    height: int
    width: int


Padding = Auto | Total | Pads


def split_total(p: int) -> tuple[int, int]:
    """⌈p/2⌉ before, ⌊p/2⌋ after: the extra row goes on top (textbook 1.2.1)."""
    return p - p // 2, p // 2


def reach(kernel: int, dilation: int) -> int:
    """What a window of `kernel` taps spans: (kernel − 1)·dilation + 1."""
    return (kernel - 1) * dilation + 1


class Axis(NamedTuple):
    """A window of `kernel` taps that slides along one axis of `n` elements."""

    n: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int = 1
    ceil: bool = False

    @property
    def k(self) -> int:
        """What the window spans."""
        return reach(self.kernel, self.dilation)

    @property
    def p(self) -> int:
        """The total padding."""
        return self.before + self.after

    @property
    def out(self) -> int:
        """How many places the window has; below 1 it does not fit."""
        if not self.ceil:
            return (self.n - self.k + self.p + self.stride) // self.stride
        rounded_up = -(-(self.n - self.k + self.p) // self.stride) + 1
        starts_in_trailing_padding = (rounded_up - 1) * self.stride >= self.n + self.before
        return rounded_up - starts_in_trailing_padding

    @property
    def overhang(self) -> int:
        """How many elements beyond the padding the last window of a ceil rounding reaches."""
        return max(0, (self.out - 1) * self.stride + self.k - self.n - self.p)

    @property
    def largest_kernel(self) -> int:
        """The most taps that would fit."""
        return (self.n + self.p - 1) // self.dilation + 1

    def formula(self) -> str:
        """The arithmetic with the numbers in it."""
        n, k, p, s = self.n, self.k, self.p, self.stride
        if not self.ceil:
            return f"⌊({n} − {k} + {p} + {s}) / {s}⌋ = {number(self.out)}"
        rounded_up = -(-(n - k + p) // s) + 1
        dropped = "" if rounded_up == self.out else ", less the window that would start in the padding"
        return f"⌈({n} − {k} + {p} + {s}) / {s}⌉ = {number(rounded_up)}{dropped}"


def number(value: int) -> str:
    """An integer as the formulas print it, with a real minus sign."""
    return f"−{-value}" if value < 0 else str(value)


def window(
    n: int, kernel: int, stride: int, padding: Padding, axis: int, dilation: int = 1, ceil: bool = False
) -> Axis:
    """The window along `axis` (0 height, 1 width) with its padding resolved."""
    k = reach(kernel, dilation)
    before, after = _resolve(n, k, stride, padding, axis)
    return Axis(n, kernel, stride, before, after, dilation, ceil)


def _resolve(n: int, k: int, stride: int, padding: Padding, axis: int) -> tuple[int, int]:
    match padding:
        case "valid":
            return 0, 0
        case "same":
            return split_total(k - 1)
        case "same_upper" | "same_lower":
            # ONNX, TensorFlow: the least that gives ⌈n/s⌉ places.
            p = max(0, (-(-n // stride) - 1) * stride + k - n)
            extra_first = split_total(p)
            return extra_first if padding == "same_lower" else (extra_first[1], extra_first[0])
        case Pads():
            return (padding.top, padding.bottom) if axis == 0 else (padding.left, padding.right)
        case Total():
            return split_total(padding[axis])


class TransposedAxis(NamedTuple):
    """The window of a transposed convolution along one axis: n places, each spread over k elements.

    out = (n − 1)·s + k − p + extra, the inverse of the textbook's line (Dumoulin & Visin 2016, section 4).
    """

    n: int
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int = 1
    extra: int = 0

    @property
    def k(self) -> int:
        """What the window spans."""
        return reach(self.kernel, self.dilation)

    @property
    def out(self) -> int:
        """How many elements come out; below 1 the padding cuts everything away."""
        return (self.n - 1) * self.stride + self.k - self.before - self.after + self.extra

    def formula(self) -> str:
        """The arithmetic with the numbers in it."""
        extra = f" + {self.extra}" if self.extra else ""
        p = self.before + self.after
        return f"({self.n} − 1) · {self.stride} + {self.k} − {p}{extra} = {number(self.out)}"


def transposed_window(
    n: int, kernel: int, stride: int, padding: Padding, axis: int, dilation: int = 1, extra: int = 0
) -> TransposedAxis:
    """The transposed window along `axis`; `same` cuts so that out = n·s."""
    k = reach(kernel, dilation)
    if padding in ("same", "same_upper", "same_lower"):
        before, after = split_total(max(0, k - stride))
        if padding == "same_upper":
            before, after = after, before
        extra += max(0, stride - k)
    else:
        before, after = _resolve(n, k, stride, padding, axis)
    return TransposedAxis(n, kernel, stride, before, after, dilation, extra)


def pads_of(height: Axis | TransposedAxis, width: Axis | TransposedAxis) -> Pads:
    """The resolved pads of a window over both axes."""
    return Pads(height.before, height.after, width.before, width.after)


def adaptive_bounds(n: int, out: int) -> list[tuple[int, int]]:
    """Where each of `out` windows starts and ends: ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉ (PyTorch's adaptive pooling)."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def centred(n: int, size: int) -> int:
    """Where a centred stretch of `size` begins: as much before as after, an odd rest comes after."""
    return (n - size) // 2


class Field(NamedTuple):
    """What one element sees of the input along one axis (textbook 1.1.3), and how its neighbours see it.

    Neighbours are `jump` inputs apart. Behind a layer that makes the image finer they share what they see: they
    stand `stride` apart on a grid with `fine` places for every `jump` inputs, and see `span` places of it beyond
    their first `base` inputs; how many inputs that is depends on the place, and the largest counts.
    """

    base: int
    jump: int
    cells: int
    """How many elements there are."""
    inputs: int
    """How many inputs there are."""
    fine: int = 1
    span: int = 0
    stride: int = 1

    @classmethod
    def of(cls, n: int) -> Field:
        """Of the input itself."""
        return cls(1, 1, n, n)

    @property
    def size(self) -> int:
        """How many inputs an element sees, from the first to the last."""
        return self.base + self.span // self.fine * self.jump

    @property
    def step(self) -> Fraction:
        """How many inputs neighbours are apart."""
        return Fraction(self.jump * self.stride, self.fine)

    def slide(self, k: int, stride: int, out: int) -> Field:
        """Behind a window that spans k and moves by stride."""
        if self.fine == 1:
            return Field(self.base + (k - 1) * self.jump, self.jump * stride, out, self.inputs)
        return self._replace(span=self.span + (k - 1) * self.stride, stride=self.stride * stride, cells=out)._settled()

    def spread(self, k: int, stride: int, out: int) -> Field:
        """Behind a transposed window: every element reaches over k places of a grid that is finer by stride."""
        span = self.span * stride + (k - 1) * self.stride
        return Field(self.base, self.jump, out, self.inputs, self.fine * stride, span, self.stride)._settled()

    def whole(self) -> Field:
        """Behind a layer that reads everything; of the padding around it nothing is to be seen there."""
        everything = self._replace(span=self.span + (self.cells - 1) * self.stride)
        return Field(min(everything.size, self.inputs), self.jump, 1, self.inputs)

    def joined(self, *others: Field) -> Field:
        """Behind a merge: the largest field, spaced as in the branch with the most elements (others stretch)."""
        fields = (self, *others)
        widest = max(fields, key=lambda field: (field.cells, field.size, field.jump))
        return widest._replace(base=widest.base + max(field.size for field in fields) - widest.size)

    def _settled(self) -> Field:
        """Without the grid, where it is not finer than the elements stand."""
        whole, rest = divmod(self.stride, self.fine)
        return self if rest else Field(self.size, self.jump * whole, self.cells, self.inputs)
