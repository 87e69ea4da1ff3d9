"""The costs of a network summed by its named blocks, which are the prefixes of the names of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.graph.costs import Row


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
    start = 0
    while start < len(rows):
        name = _block(rows[start], depth)
        end = start
        while end < len(rows) and _block(rows[end], depth) == name:
            end += 1
        part = rows[start:end]
        if name is None:
            ends = [row.name.split(".")[-1] for row in (part[0], part[-1])]
            found.append(_sum(" … ".join(dict.fromkeys(ends)), depth, False, part))
        else:
            found.append(_sum(name, depth, True, part))
            if any(_block(row, depth + 1) for row in part):
                found += _rows(part, depth + 1)
        start = end
    return found


def _block(row: Row, depth: int) -> str | None:
    """Return the block that a layer is in at a depth; None where there are no more blocks around it."""
    parts = row.name.split(".")
    return ".".join(parts[: depth + 1]) if len(parts) > depth + 1 else None


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
