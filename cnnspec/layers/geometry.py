"""The only window arithmetic: the span of a window, where its padding goes, how many positions it has.

With n input, k kernel, p *total* padding and s stride, the textbook chapter (section 1.2) has

    out = ⌊(n − k + p + s) / s⌋

and everything in this file is that line, one axis at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

from cnnspec.layers.padding import AxisPadding

# The names of the spatial axes and of the sides before and after each, by how many axes there are.
AXES: dict[int, tuple[str, ...]] = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
CHANNELS = "channels"
MOST_SIZES = 1 + max(AXES)
"""How many sizes a shape has at most: the channels, and one along each spatial axis."""
AxisName = Literal["channels", "length", "depth", "height", "width"]
AXIS_NAMES: tuple[str, ...] = get_args(AxisName)
SIDES: dict[int, tuple[str, ...]] = {
    1: ("left", "right"),
    2: ("top", "bottom", "left", "right"),
    3: ("front", "back", "top", "bottom", "left", "right"),
}


def axes_of(shape: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the axes of a shape [c, ...]: channels, height, width for an image."""
    return (CHANNELS, *AXES.get(len(shape) - 1, ()))


class Pads(NamedTuple):
    """Elements added before and after along each axis."""

    axes: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return ", ".join(f"{n} {side}" for side, n in self.by_side().items())

    @property
    def symmetric(self) -> bool:
        """Whether both ends of each axis get the same."""
        return all(before == after for before, after in self.axes)

    @property
    def flat(self) -> tuple[int, ...]:
        """Before and after of the first axis, then of the next: top, bottom, left, right for an image."""
        return tuple(n for axis in self.axes for n in axis)

    def by_side(self) -> dict[str, int]:
        """The numbers by the names of the sides."""
        return dict(zip(SIDES[len(self.axes)], self.flat, strict=True))


class Window(NamedTuple):
    """The resolved window of a layer along one axis; a backend reads it and derives nothing."""

    kernel: int
    stride: int
    dilation: int
    before: int
    """Elements of padding before the input; negative where the input is cut."""
    after: int
    """Elements of padding after the input; negative where the input is cut."""
    extra: int
    """Elements beyond the padding: what ceil rounding reaches in a pool, the output padding of a transposed conv."""
    out: int
    bounds: tuple[tuple[int, int], ...] = ()
    """[start, end) of each position, where they do not follow from kernel and stride (adaptive pooling)."""

    @property
    def span(self) -> int:
        """How many elements the kernel spans."""
        return effective_kernel(self.kernel, self.dilation)

    def divides(self, n: int) -> bool:
        """Return whether it moves over n elements in whole strides."""
        return n % self.stride == 0

    def element(self, position: int, tap: int) -> int:
        """Return the element of the input under a tap at a position; below 0 and from n on it is padding."""
        return position * self.stride + tap * self.dilation - self.before

    def inside(self, tap: int, n: int) -> tuple[int, int]:
        """Return [first, end) of the positions whose tap lies inside an input of n elements."""
        behind = self.before - tap * self.dilation
        first, end = -(-behind // self.stride), (n - 1 + behind) // self.stride + 1
        return max(0, first), min(self.out, end)

    def covered(self, position: int, n: int) -> range:
        """Return the elements of the input, of n, from the first under a tap at a position to the last."""
        if self.bounds:
            return range(*self.bounds[position])
        places = [self.element(position, tap) for tap in range(self.kernel)]
        return span([i for i in places if 0 <= i < n])

    def spread_over(self, position: int, n: int) -> range:
        """Return the elements of the input, of n, that a transposed window spreads over a position of the output.

        It is the inverse of `element`: input i lies under the output at i · stride + tap · dilation − before.
        """
        taps = range(self.kernel)
        reached = [divmod(position + self.before - tap * self.dilation, self.stride) for tap in taps]
        found = [i for i, rest in reached if not rest and 0 <= i < n]
        return span(found)

    def counted(self, position: int, n: int, padding: bool) -> int:
        """Return how many taps count in a mean: those inside n elements, or inside the padding too."""
        low, high = (-self.before, n + self.after) if padding else (0, n)
        return sum(low <= self.element(position, tap) < high for tap in range(self.kernel))


def split_total(p: int) -> tuple[int, int]:
    """Return ⌈p/2⌉ before, ⌊p/2⌋ after: the extra row goes on top (textbook 1.2.1)."""
    return p - p // 2, p // 2


def effective_kernel(kernel: int, dilation: int) -> int:
    """Return how many elements a window of `kernel` taps spans: (kernel − 1)·dilation + 1."""
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
        return effective_kernel(self.kernel, self.dilation)

    @property
    def p(self) -> int:
        """The total padding."""
        return self.before + self.after

    @property
    def out(self) -> int:
        """How many positions the window has; below 1 it does not fit."""
        if not self.ceil:
            return (self.n - self.k + self.p + self.stride) // self.stride
        rounded_up = -(-(self.n - self.k + self.p) // self.stride) + 1
        starts_in_trailing_padding = (rounded_up - 1) * self.stride >= self.n + self.before
        return rounded_up - starts_in_trailing_padding

    @property
    def extra(self) -> int:
        """How many elements beyond the padding the last window of a ceil rounding reaches."""
        return 0 if not self.ceil else max(0, (self.out - 1) * self.stride + self.k - self.n - self.p)

    @property
    def largest_kernel(self) -> int:
        """The most taps that would fit."""
        return (self.n + self.p - 1) // self.dilation + 1

    @property
    def resolved(self) -> Window:
        """The window as it travels in the graph."""
        return Window(self.kernel, self.stride, self.dilation, self.before, self.after, self.extra, self.out)

    def formula(self) -> str:
        """Return the arithmetic with the numbers in it."""
        n, k, p, s = self.n, self.k, self.p, self.stride
        if not self.ceil:
            return f"⌊({n} − {k} + {p} + {s}) / {s}⌋ = {number(self.out)}"
        rounded_up = -(-(n - k + p) // s) + 1
        dropped = "" if rounded_up == self.out else ", less the window that would start in the padding"
        return f"⌈({n} − {k} + {p} + {s}) / {s}⌉ = {number(rounded_up)}{dropped}"


def number(value: int) -> str:
    """An integer as the formulas print it, with a real minus sign."""
    return f"−{-value}" if value < 0 else str(value)


def window(n: int, kernel: int, stride: int, padding: AxisPadding, dilation: int = 1, ceil: bool = False) -> Axis:
    """Return the window along an axis of n elements with its padding resolved."""
    k = effective_kernel(kernel, dilation)
    before, after = _resolve(n, k, stride, padding)
    return Axis(n, kernel, stride, before, after, dilation, ceil)


def _resolve(n: int, k: int, stride: int, padding: AxisPadding) -> tuple[int, int]:
    match padding:
        case "valid":
            return 0, 0
        case "same":
            return split_total(k - 1)
        case "same_upper" | "same_lower":
            # ONNX, TensorFlow: the least that gives ⌈n/s⌉ positions.
            p = max(0, (-(-n // stride) - 1) * stride + k - n)
            extra_first = split_total(p)
            return extra_first if padding == "same_lower" else (extra_first[1], extra_first[0])
    return padding


class TransposedAxis(NamedTuple):
    """The window of a transposed convolution along one axis: n positions, each spread over k elements.

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
        return effective_kernel(self.kernel, self.dilation)

    @property
    def out(self) -> int:
        """How many elements come out; below 1 the padding cuts everything away."""
        return (self.n - 1) * self.stride + self.k - self.before - self.after + self.extra

    @property
    def resolved(self) -> Window:
        """The window as it travels in the graph."""
        return Window(self.kernel, self.stride, self.dilation, self.before, self.after, self.extra, self.out)

    def formula(self) -> str:
        """Return the arithmetic with the numbers in it."""
        extra = f" + {self.extra}" if self.extra else ""
        p = self.before + self.after
        return f"({self.n} − 1) · {self.stride} + {self.k} − {p}{extra} = {number(self.out)}"


def transposed_window(
    n: int, kernel: int, stride: int, padding: AxisPadding, dilation: int = 1, extra: int = 0
) -> TransposedAxis:
    """Return the transposed window along an axis of n elements; `same` cuts so that out = n·s."""
    k = effective_kernel(kernel, dilation)
    if padding in ("same", "same_upper", "same_lower"):
        before, after = split_total(max(0, k - stride))
        if padding == "same_upper":
            before, after = after, before
        extra += max(0, stride - k)
    else:
        before, after = _resolve(n, k, stride, padding)
    return TransposedAxis(n, kernel, stride, before, after, dilation, extra)


def adaptive_window(n: int, out: int) -> Window:
    """Return the windows of adaptive pooling, [⌊i·n/out⌋, ⌈(i + 1)·n/out⌉) as in PyTorch; the kernel is the largest."""
    bounds = tuple((i * n // out, -(-(i + 1) * n // out)) for i in range(out))
    return Window(max(end - start for start, end in bounds), max(1, n // out), 1, 0, 0, 0, out, bounds)


def span(positions: Sequence[int]) -> range:
    """Return the range from the smallest position to the largest; an empty one of none."""
    return range(min(positions), max(positions) + 1) if positions else range(0)


def hull(*ranges: range) -> range:
    """Return the smallest range that holds all of these; empty ones do not count."""
    held = [found for found in ranges if found]
    return range(min(found.start for found in held), max(found.stop for found in held)) if held else range(0)


def centred(n: int, size: int) -> int:
    """Return where a centred stretch of `size` elements begins among n: as many before as after, an odd rest after."""
    return (n - size) // 2


def centred_crop(n: int, size: int) -> Window:
    """Return the window that keeps the `size` elements in the middle."""
    before = centred(n, size)
    return Window(1, 1, 1, -before, -(n - size - before), 0, size)


class ReceptiveField(NamedTuple):
    """The receptive field of one element along one axis (textbook 1.1.3), and the distance to its neighbours'.

    Neighbours are `jump` inputs apart. Behind an upsampling layer several elements lie between two inputs: they are
    `stride` apart on a grid with `fine` cells for every `jump` inputs, and their fields span `span` cells of it beyond
    the first `base` inputs; how many inputs that is depends on the position, and the largest counts.
    """

    base: int
    jump: int
    cells: int
    """The number of elements."""
    inputs: int
    """The number of inputs."""
    fine: int = 1
    span: int = 0
    stride: int = 1

    @classmethod
    def of(cls, n: int) -> ReceptiveField:
        """Return the field of the input itself, of n elements."""
        return cls(1, 1, n, n)

    @property
    def size(self) -> int:
        """The number of inputs from the first to the last in the receptive field."""
        return self.base + self.span // self.fine * self.jump

    @property
    def step(self) -> Fraction:
        """The distance of the receptive fields of neighbours, in inputs."""
        return Fraction(self.jump * self.stride, self.fine)

    def slide(self, k: int, stride: int, out: int) -> ReceptiveField:
        """Return the field behind a window that spans k and moves by stride."""
        if self.fine == 1:
            return ReceptiveField(self.base + (k - 1) * self.jump, self.jump * stride, out, self.inputs)
        return self._replace(span=self.span + (k - 1) * self.stride, stride=self.stride * stride, cells=out)._settled()

    def transposed(self, k: int, stride: int, out: int) -> ReceptiveField:
        """Return the field behind a transposed window: each element reaches over k cells of a grid finer by stride."""
        span = self.span * stride + (k - 1) * self.stride
        return ReceptiveField(self.base, self.jump, out, self.inputs, self.fine * stride, span, self.stride)._settled()

    def whole(self) -> ReceptiveField:
        """Return the field behind a layer that reads every position; padding does not count as input."""
        everything = self._replace(span=self.span + (self.cells - 1) * self.stride)
        return ReceptiveField(min(everything.size, self.inputs), self.jump, 1, self.inputs)

    def everywhere(self) -> ReceptiveField:
        """Return the field behind a layer each of whose elements reads every position: it is that of its neighbours."""
        return self.whole()._replace(jump=0, cells=self.cells)

    def merged(self, *others: ReceptiveField) -> ReceptiveField:
        """Return the field behind a merge: the largest, spaced as in the branch with the most elements."""
        fields = (self, *others)
        widest = max(fields, key=lambda field: (field.cells, field.size, field.jump))
        return widest._replace(base=widest.base + max(field.size for field in fields) - widest.size)

    def _settled(self) -> ReceptiveField:
        """Without the grid, where it is not finer than the elements stand."""
        whole, rest = divmod(self.stride, self.fine)
        return self if rest else ReceptiveField(self.size, self.jump * whole, self.cells, self.inputs)
