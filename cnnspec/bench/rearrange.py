"""Layers that rearrange numbers as three steps: split the axes, order them anew, join them."""

from __future__ import annotations

from typing import Any

from cnnspec.graph.graph import Node


def split_and_order(node: Node) -> tuple[list[int], list[int]]:
    """Return the sizes of the input's split axes, and their order in the output, both without the batch."""
    layer: Any = node.layer
    c, *sizes = node.in_shapes[0]
    rank = len(sizes)
    match node.kind:
        case "permute":
            return [c, *sizes], list(layer.order(node.in_shapes[0]))
        case "depth_to_space":
            blocks = layer.blocks(node.shape)
            crd = layer.mode == "crd"
            split = [node.shape[0], *blocks, *sizes] if crd else [*blocks, node.shape[0], *sizes]
            pairs = [axis for i in range(rank) for axis in (1 + rank + i, i + crd)]
            return split, [0 if crd else rank, *pairs]
        case "space_to_depth":
            blocks = layer.blocks(node.shape)
            split = [c, *(n for pair in zip(node.shape[1:], blocks, strict=True) for n in pair)]
            places, positions = range(2, 2 + 2 * rank, 2), range(1, 1 + 2 * rank, 2)
            return split, [0, *places, *positions] if layer.mode == "crd" else [*places, 0, *positions]
    return [c, *sizes], list(range(1 + rank))
