"""The classical picture of a chain of layers: feature maps as slabs that shrink, vectors as bars.

A slab is in oblique projection: as high as the map is high, as deep as it is wide, and as thick as it has channels.
Roots take the place of the sizes themselves, so that small maps and thin layers can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from cnnspec.diagram.about import printable, spoken
from cnnspec.diagram.cards import DETAIL, NAME, SMALL, layer_attributes
from cnnspec.diagram.legend import HEADING, heading, headline
from cnnspec.diagram.outline import End, Layer, Outline
from cnnspec.diagram.picture import MARGIN, Picture
from cnnspec.diagram.scene import Group, Line, Part, Polygon, Rectangle, Text, shortened, text_width
from cnnspec.errors import DiagramError
from cnnspec.graph.graph import Graph
from cnnspec.layers import Shape
from cnnspec.layers.base import Family
from cnnspec.view.table import describe
from cnnspec.wording import format_shape, quoted

_HIGHEST, _LEAST = 190.0, 7.0
_THICKEST, _THINNEST = 46.0, 5.0
_DEPTH = 0.34
"""The part of a map's width that its depth is drawn with, at 45°."""
_BAR = 9.0
_BESIDE, _BETWEEN = 5.0, 30.0
"""Between two slabs of maps of one size, and between others."""
_OVER, _LINE, _MOST_LABEL = 16.0, 14.0, 150.0


@dataclass(frozen=True)
class _Solid:
    """A tensor as it is drawn: the layers that make it, its shape, and its size in pixels."""

    layers: tuple[Layer, ...]
    shape: Shape
    family: Family | None
    thickness: float
    height: float
    depth: float

    @property
    def width(self) -> float:
        return self.thickness + self.depth

    @property
    def whole(self) -> float:
        return self.height + self.depth


_Tensor = tuple[tuple[Layer, ...], Shape, Family | None]


def check_chain(graph: Graph) -> None:
    """Raise DiagramError, with the first layer that is to blame, for a network that is no chain of layers."""
    remedy = "the stack view draws plain chains of layers only: use the graph view (`--view graph`)"
    for what, names in (("inputs", graph.inputs), ("outputs", graph.output_names)):
        if len(names) > 1:
            listed = ", ".join(map(printable, names))
            raise DiagramError(f"{quoted(graph.name)} is no chain, it has {len(names)} {what} ({listed}): {remedy}")
    readers: dict[str, str] = {}
    for node in graph.nodes:
        if len(node.inputs) > 1:
            raise DiagramError(
                f"{quoted(graph.name)} is no chain, {quoted(node.name)} reads {len(node.inputs)} layers: {remedy}"
            )
        for name in node.inputs:
            if name in readers:
                both = f"{quoted(readers[name])} and {quoted(node.name)}"
                raise DiagramError(f"{quoted(graph.name)} is no chain, {both} read {quoted(name)}: {remedy}")
            readers[name] = node.name


def stack_picture(outline: Outline, *, is_button: bool = False) -> Picture:
    """Return the picture of a chain; layers may be buttons, in a page."""
    groups = _groups(_solids(outline))
    labels = [_label(group) for group in groups]
    middle = _OVER + max(solid.whole for group in groups for solid in group) / 2
    parts: list[Part] = []
    x, end = 0.0, 0.0
    before: _Solid | None = None
    for group, label in zip(groups, labels, strict=True):
        width = sum(solid.width for solid in group) + _BESIDE * (len(group) - 1)
        own = max(width, *(text_width(text, size, bold=bold) for text, size, bold in label))
        left = x + (own - width) / 2
        parts += _joint(before, group[0], end, left, middle) if before else []
        for solid in group:
            parts += _drawn(solid, left, middle, is_button, with_channels=len(group) > 1)
            end = left + solid.width
            left = end + _BESIDE
        for line, (text, size, bold) in enumerate(label):
            y = 2 * middle - _OVER + 24 + _LINE * line + (3 if line else 0)
            parts.append(Text(x + own / 2, y, text, size, "ink" if bold else "muted", bold, "middle"))
        x += own + _BETWEEN
        before = group[-1]
    height = 2 * middle - _OVER + 24 + _LINE * max(map(len, labels))
    width = max(x - _BETWEEN, 240)
    shown = Group(heading(outline, width), MARGIN, MARGIN), Group(parts, MARGIN, MARGIN + HEADING)
    title = f"Feature maps of {printable(outline.title)}"
    return Picture(shown, width + 2 * MARGIN, height + 2 * MARGIN + HEADING, title, _about(outline, groups))


def _solids(outline: Outline) -> list[_Solid]:
    """Return the tensors that are drawn: the input, and the output of each box."""
    tensors: list[_Tensor] = [
        ((), end.shape, None) for end in outline.root.items if isinstance(end, End) and end.is_input
    ]
    for box in outline.root.boxes:
        tensors.append((box.layers, box.layers[0].node.shape, box.layers[0].node.layer.family))
    maps = [shape for _, shape, _ in tensors if len(shape) > 1]
    largest = max((n for shape in maps for n in _extent(shape)), default=1)
    channels = max((shape[0] for shape in maps), default=1)
    features = max((shape[0] for _, shape, _ in tensors if len(shape) == 1), default=1)
    return [_solid(tensor, largest, channels, features) for tensor in tensors]


def _extent(shape: Shape) -> tuple[int, int]:
    """Return the height and the width of a map; a sequence has its length as height."""
    return (shape[-2], shape[-1]) if len(shape) > 2 else (shape[-1], 1)


def _solid(tensor: _Tensor, largest: int, channels: int, features: int) -> _Solid:
    layers, shape, family = tensor
    if len(shape) == 1:
        return _Solid(layers, shape, family, _BAR, max(_LEAST, _HIGHEST * (shape[0] / features) ** 0.4), 0)
    height, width = (max(_LEAST, _HIGHEST * (n / largest) ** 0.65) for n in _extent(shape))
    return _Solid(
        layers, shape, family, max(_THINNEST, _THICKEST * (shape[0] / channels) ** 0.6), height, _DEPTH * width
    )


def _groups(solids: Sequence[_Solid]) -> list[list[_Solid]]:
    """Return the tensors, those together that follow each other and have maps of one size."""
    found: list[list[_Solid]] = []
    for i, solid in enumerate(solids):
        if i > 1 and len(solid.shape) > 1 and solid.shape[1:] == solids[i - 1].shape[1:]:
            found[-1].append(solid)
        else:
            found.append([solid])
    return found


def _label(group: Sequence[_Solid]) -> list[tuple[str, float, bool]]:
    """Return the lines below a group: the shape at its end, and its layers; (text, size, whether it is bold)."""
    lines = [(format_shape(group[-1].shape), NAME, True)]
    for text, same in groupby(_about_layers(solid) for solid in group):
        count = len([*same])
        shown = text if count == 1 else f"{count} × {text}"
        lines.append((shortened(printable(shown), _MOST_LABEL, DETAIL), DETAIL, False))
    return lines


def _about_layers(solid: _Solid) -> str:
    if not solid.layers:
        return "input"
    return ", ".join([describe(solid.layers[0].node), *(layer.node.kind for layer in solid.layers[1:])])


def _drawn(solid: _Solid, x: float, middle: float, is_button: bool, *, with_channels: bool) -> list[Part]:
    y = middle - solid.whole / 2 + solid.depth
    family = solid.family
    fill, tint, line = (family, f"{family}-tint", family) if family else ("frame", "paper", "muted")
    t, h, d = solid.thickness, solid.height, solid.depth
    parts: list[Part] = []
    if len(solid.shape) > 1:
        parts += [
            Polygon(((x, y), (x + t, y), (x + t + d, y - d), (x + d, y - d)), tint, line),
            Polygon(((x + t, y), (x + t + d, y - d), (x + t + d, y - d + h), (x + t, y + h)), tint, line),
            Polygon(((x, y), (x + t, y), (x + t, y + h), (x, y + h)), fill, line),
        ]
    else:
        parts.append(Rectangle(x, y, t, h, fill, line, 1, 2))
    if solid.layers:
        about = "\n".join(map(spoken, solid.layers))
        parts = [Group(parts, 0, 0, layer_attributes(solid.layers[0], is_button), "" if is_button else about)]
    if with_channels:
        parts.append(Text(x + t / 2 + d, y - d - 5, str(solid.shape[0]), SMALL, "muted", anchor="middle"))
    return parts


def _joint(a: _Solid, b: _Solid, x: float, to: float, middle: float) -> list[Part]:
    """Return what leads from a tensor to the next: an arrow, or between vectors the lines of a fan."""
    if len(a.shape) == len(b.shape) == 1:
        ends = [(a.height / 2 * side, b.height / 2 * side) for side in (-1, 1)]
        return [Line(((x + 2, middle + i), (to - 2, middle + j)), "line") for i, j in ends]
    tip = to - 4
    start = max(x + 4, tip - 40)
    return [
        Line(((start, middle), (tip - 4, middle)), "edge", 1.5),
        Polygon(((tip - 6, middle - 4), (tip - 6, middle + 4), (tip, middle)), "edge"),
    ]


def _about(outline: Outline, groups: Sequence[Sequence[_Solid]]) -> str:
    """Return what the picture shows, for those who do not see it."""
    steps = [f"{format_shape(group[-1].shape)} ({', '.join(map(_about_layers, group))})" for group in groups]
    return printable(f"{headline(outline)}. From left to right: {'; '.join(steps)}.")
