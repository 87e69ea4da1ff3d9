"""Merges: branches that start from one tensor become one again."""

from __future__ import annotations

from cnnspec.geometry import Field
from cnnspec.layers.base import Fields, Inferred, Layer, Shape, ShapeError, by


class Merge(Layer):
    """A layer over several branches."""

    merges = True

    def _differ(self, index: int, a: Shape, b: Shape, rule: str) -> ShapeError:
        return ShapeError(
            "shapes-differ",
            f"`{{name}}` joins {by(a)} with {by(b)}",
            label=rule,
            notes=_differences(a, b),
            remedies=_remedies(self.kind, a, b),
            input_index=index,
        )


def _differences(a: Shape, b: Shape) -> tuple[str, ...]:
    if len(a) != len(b):
        return (f"one is {_form(a)}, the other {_form(b)}",)
    names = ("channels", "height", "width") if len(a) == 3 else ("length",)
    return tuple(f"{name}: {m} and {n}" for name, m, n in zip(names, a, b, strict=True) if m != n)


def _form(shape: Shape) -> str:
    return "an image" if len(shape) == 3 else "a vector"


def _remedies(kind: str, a: Shape, b: Shape) -> tuple[str, ...]:
    if len(a) != len(b):
        return ("flatten both branches or neither",)
    if len(a) == 1:
        return (f"a `dense: {a[0]}` at the end of that branch",)
    if a[1:] == b[1:]:
        return (f"a `conv: {{channels: {a[0]}, kernel: 1}}` at the end of that branch",)
    down = [m > 0 and n % m == 0 and n // m for m, n in zip(a[1:], b[1:], strict=True)]
    if down[0] and down[0] == down[1] and down[0] > 1:
        return (f"`stride: {down[0]}` in that branch (or `max_pool: {down[0]}`)",)
    up = [m % n == 0 and m // n for m, n in zip(a[1:], b[1:], strict=True)]
    if up[0] and up[0] == up[1] and up[0] > 1:
        return (f"`upsample: {up[0]}` at the end of that branch", f"`stride: {up[0]}` in the other")
    if b[1] >= a[1] and b[2] >= a[2]:
        return (f"`crop: [{a[1]}, {a[2]}]` at the end of that branch", "`padding: same` in the other")
    return ("`padding: same` in that branch",)


class Add(Merge):
    """The sum of the branches, element by element.

    x [n, c, ...] -> y [n, c, ...]

        - add:
            main: [conv: {channels: 12, kernel: 3, padding: same}]
            skip: []

    He et al. 2015 (ResNet); all branches have one shape.
    """

    kind = "add"

    def infer(self, *inputs: Shape) -> Inferred:
        """The shape that all branches have."""
        for i, shape in enumerate(inputs):
            if shape != inputs[0]:
                raise self._differ(i, inputs[0], shape, "all branches must have one shape")
        return Inferred(inputs[0])


class Multiply(Merge):
    """The product of the branches, element by element; a gate of 1×1 (or a vector over the channels) stretches.

    x [n, c, h, w] -> y [n, c, h, w]

        - multiply:
            main: []
            gate: [adaptive_avg_pool: 1, conv: {channels: 12, kernel: 1, activation: sigmoid}]

    Hu et al. 2017 (Squeeze-and-Excitation).
    """

    kind = "multiply"

    def infer(self, *inputs: Shape) -> Inferred:
        """The largest shape, to which axes of size one stretch."""
        rank = max(map(len, inputs))
        full = [(*shape, *[1] * (rank - len(shape))) for shape in inputs]
        target = tuple(map(max, *full))
        biggest = next((s for s in inputs if (*s, *[1] * (rank - len(s))) == target), inputs[0])
        for i, shape in enumerate(full):
            if any(n not in (1, m) for n, m in zip(shape, target, strict=True)):
                raise self._differ(i, biggest, inputs[i], "all branches must have one shape, but for axes of size one")
        return Inferred(target)


class Concat(Merge):
    """The channels of all branches, one branch after the other.

    x [n, c, ...] -> y [n, o, ...]

        - concat:
            one: [conv: {channels: 4, kernel: 1}]
            three: [conv: {channels: 8, kernel: 3, padding: same}]

    Szegedy et al. 2014 (GoogLeNet); heights and widths are alike.
    """

    kind = "concat"

    def infer(self, *inputs: Shape) -> Inferred:
        """[sum of the channels, ...]."""
        first = inputs[0]
        for i, shape in enumerate(inputs):
            if shape[1:] != first[1:] or len(shape) != len(first):
                raise self._differ(i, (shape[0], *first[1:]) if len(first) == 3 else first, shape, _CONCAT_RULE)
        return Inferred((sum(shape[0] for shape in inputs), *first[1:]))

    def explain(self, inputs: tuple[Shape, ...], shape: Shape) -> list[tuple[str, str]]:
        """The sum."""
        return [("channels", f"{' + '.join(str(s[0]) for s in inputs)} = {shape[0]}")]


_CONCAT_RULE = "all branches must have one height and width"


def largest_field(seen: list[Fields]) -> Fields:
    """What an element of a merge sees: the largest of its branches (textbook 1.1.3)."""

    def largest(fields: list[Field]) -> Field:
        return Field(max(f.size for f in fields), max(f.step for f in fields), max(f.cells for f in fields))

    return largest([h for h, _ in seen]), largest([w for _, w in seen])
