"""What is said about layers and blocks: their figures, what they hold, and what they are for a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.diagram.outline import Block, Box, Layer, Outline
from cnnspec.view.table import describe
from cnnspec.wording import a_count, format_shape, quoted


def compact(n: int) -> str:
    """Return a number with a suffix for thousands: 25.6M."""
    size = float(n)
    for unit in ("", "k", "M", "G", "T"):
        if size < 999.5 or unit == "T":
            return f"{size:.0f}{unit}" if not unit or size >= 99.95 else f"{size:.1f}{unit}"
        size /= 1000
    raise AssertionError("T is the last unit")


class Figures(NamedTuple):
    """The parameters and MACs of an item, and of the network, which they are parts of."""

    parameters: int
    macs: int
    all_parameters: int
    all_macs: int

    @property
    def bars(self) -> list[tuple[str, float, str]]:
        """What has a bar: the text, the part of the network's, and the colour."""
        found = []
        if self.parameters:
            found.append((f"{compact(self.parameters)} params", self.parameters / self.all_parameters, "ink"))
        if self.macs:
            found.append((f"{compact(self.macs)} MACs", self.macs / self.all_macs, "accent"))
        return found


def figures(outline: Outline, layers: Sequence[Layer]) -> Figures:
    """Return the sums over layers."""
    parameters, macs = sum(layer.row.parameters for layer in layers), sum(layer.row.macs for layer in layers)
    return Figures(parameters, macs, outline.parameters, outline.macs)


def shared_with(layers: Sequence[Layer]) -> str | None:
    """Return the layer whose parameters these have, or the block around it; None where they have some of their own."""
    owners = [layer.row.shares for layer in layers if layer.node.parameters]
    if not owners or any(owner is None for owner in owners):
        return None
    names = [owner for owner in owners if owner]
    return names[0] if len(names) == 1 else names[0].rpartition(".")[0] or names[0]


def spoken(layer: Layer) -> str:
    """Return what a layer is, in a sentence for a screen reader or a tooltip."""
    node, row = layer.node, layer.row
    read = " and ".join(format_shape(shape) for shape in node.in_shapes)
    parts = [
        describe(node),
        f"{read} to {format_shape(node.shape)}" if layer.changes_shape else format_shape(node.shape),
    ]
    if row.shares:
        parts.append(f"parameters of {row.shares}")
    elif row.parameters:
        parts.append(f"{row.parameters:,} parameters")
    if row.macs:
        parts.append(f"{row.macs:,} MACs")
    return f"{node.name}: {', '.join(parts)}"


def spoken_block(block: Block) -> str:
    """Return what a block is, in a sentence."""
    layers = block.layers
    parameters, macs = sum(layer.row.parameters for layer in layers), sum(layer.row.macs for layer in layers)
    return f"block {block.name}: {a_count(len(layers), 'layer')}, {parameters:,} parameters, {macs:,} MACs"


def contents(block: Block) -> str:
    """Return what a block holds: 3 blocks, 32 layers."""
    count = a_count(len(block.layers), "layer")
    return f"{a_count(len(block.blocks), 'block')}, {count}" if block.blocks else count


def title_of(box: Box) -> str:
    """Return the name of a box."""
    return printable(box.label)


def printable(text: str) -> str:
    """Return a name with its control characters written out."""
    return quoted(text, max(1, len(text)))[1:-1]
