"""The costs of a network summed by its named blocks, which are the prefixes of the names of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cnnspec.graph.costs import Row
from cnnspec.graph.graph import Graph


class BlockRow(NamedTuple):
    """The sums over the layers of a block, or over layers in a row that are in no block of their own."""

    name: str
    """The full name of the block; that of the first and the last layer where they are in none."""
    depth: int
    """How many blocks are around it."""
    is_block: bool
    layers: int
    parameters: int
    macs: int
    activation_bytes: int


def block_rows(rows: Sequence[Row]) -> list[BlockRow]:
    """Return the blocks in the order of the layers, each before those within it, and the layers between them.

    The layers of a block that has no blocks within it are not listed.
    """
    return _rows([row for row in rows if row.inputs], 0)


def _rows(rows: Sequence[Row], depth: int) -> list[BlockRow]:
    found: list[BlockRow] = []
    for name, start, end in runs([row.name for row in rows], depth):
        part = rows[start:end]
        if name is None:
            ends = [row.name.split(".")[-1] for row in (part[0], part[-1])]
            found.append(_sum(" … ".join(dict.fromkeys(ends)), depth, False, part))
        else:
            found.append(_sum(name, depth, True, part))
            if any(block_at(row.name, depth + 1) for row in part):
                found += _rows(part, depth + 1)
    return found


def runs(names: Sequence[str], depth: int) -> Iterator[tuple[str | None, int, int]]:
    """Yield the blocks at a depth that names of layers in a row are in, as (block, start, end); None is in no block."""
    start = 0
    while start < len(names):
        block = block_at(names[start], depth)
        end = start
        while end < len(names) and block_at(names[end], depth) == block:
            end += 1
        yield block, start, end
        start = end


def block_at(name: str, depth: int) -> str | None:
    """Return the block that a layer is in at a depth; None where there are no more blocks around it."""
    parts = name.split(".")
    return ".".join(parts[: depth + 1]) if len(parts) > depth + 1 else None


def block_names(graph: Graph) -> list[str]:
    """Return the names of all blocks, in the order of the layers, each before those within it."""
    names = (node.name for node in graph.nodes)
    return list(
        dict.fromkeys(block for name in names for depth in range(name.count(".")) if (block := block_at(name, depth)))
    )


def _sum(name: str, depth: int, is_block: bool, rows: Sequence[Row]) -> BlockRow:
    return BlockRow(
        name,
        depth,
        is_block,
        len(rows),
        sum(row.parameters for row in rows),
        sum(row.macs for row in rows),
        sum(row.activation_bytes for row in rows),
    )
