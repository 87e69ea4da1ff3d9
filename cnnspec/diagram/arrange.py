"""Where the parts of a block stand to each other: a row and a column for each, whatever is folded.

A block is a grid. Its first row has a cell for each tensor that enters it, its last row one for each that leaves it
(the network as a whole has neither), and the rows between have its items, by the longest path. A tensor that is read
further below than in the next row goes down a *lane*: a cell that takes a column over all rows that it passes. Rows
that have one cell alone stand on the axis of the block; the rows between two of those are a *segment*, whose columns
are its own. So an edge turns only between two rows, where nothing else stands, and it crosses no box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from cnnspec.diagram.columns import add_columns, neighbours
from cnnspec.diagram.grid import Cell, Edge, Grid, Hop, Segment
from cnnspec.diagram.levels import add_levels
from cnnspec.diagram.outline import Block, Box, End, Item, Outline

Link = tuple[Item | str, Item | str, str]
"""The ends of an edge within a block, and its tensor; an end is an item, or "in" or "out" for the block's border."""


def arrange(outline: Outline) -> dict[Block, Grid]:
    """Return the grid of every block of a network, its own included."""
    links = _links(outline)
    grids = {block: _grid(block, links[block], has_ports=block is not outline.root) for block in links}
    for grid in grids.values():
        add_levels(grid, grids)
    return grids


def _links(outline: Outline) -> dict[Block, list[Link]]:
    """Return the edges of each block: one from item to item in the block around both, and the ways out and in."""
    found: dict[Item, dict[Link, None]] = defaultdict(dict)
    made: dict[str, Item] = {}
    paths = outline.paths
    readers: list[tuple[Item, Sequence[str]]] = []
    for item in paths:
        if isinstance(item, Box):
            made.update(dict.fromkeys((layer.node.name for layer in item.layers), item))
            readers.append((item, item.inputs))
        elif isinstance(item, End) and item.is_input:
            made[item.tensor] = item
        elif isinstance(item, End):
            readers.append((item, (item.tensor,)))
    for reader, tensors in readers:
        for tensor in dict.fromkeys(tensors):
            source = made[tensor]
            out, into = (*paths[source], source), (*paths[reader], reader)
            depth = next(i for i, (a, b) in enumerate(zip(out, into, strict=False)) if a is not b)
            found[out[depth - 1]][out[depth], into[depth], tensor] = None
            for block, inner in pairwise(out[depth:]):
                found[block][inner, "out", tensor] = None
            for block, inner in pairwise(into[depth:]):
                found[block]["in", inner, tensor] = None
    blocks = [outline.root, *(item for item in paths if isinstance(item, Block))]
    return {block: list(found[block]) for block in blocks}


def _grid(block: Block, links: Sequence[Link], *, has_ports: bool) -> Grid:
    rows = _rows(block.items, links, 1 if has_ports else 0)
    height = max(rows.values()) + 1 + has_ports
    grid = Grid(height, has_ports=has_ports)
    cells: dict[Item | tuple[str, str], Cell] = {item: Cell("item", item, None, row, row) for item, row in rows.items()}
    for source, target, tensor in links:
        if source == "in":
            cells.setdefault(("in", tensor), Cell("entry", None, tensor, 0, 0))
        if target == "out":
            cells.setdefault(("out", tensor), Cell("exit", None, tensor, height - 1, height - 1))
    grid.cells = list(cells.values())
    ends = [
        (
            cells["in", tensor] if isinstance(source, str) else cells[source],
            cells["out", tensor] if isinstance(target, str) else cells[target],
            tensor,
        )
        for source, target, tensor in links
    ]
    _add_edges(grid, ends)
    _add_segments(grid)
    return grid


def _rows(items: Sequence[Item], links: Sequence[Link], first: int) -> dict[Item, int]:
    """Return a row for each item: as high as what it reads allows, but beside what is written before it if it can be.

    So a branch stands where the author has it, and what is only read far below is not far above.
    """
    before: dict[Item, list[Item]] = {item: [] for item in items}
    for source, target, _ in links:
        if not isinstance(source, str) and not isinstance(target, str):
            before[target].append(source)
    highest: dict[Item, int] = {}
    for item in items:
        highest[item] = max((highest[source] + 1 for source in before[item]), default=first)
    end = max(highest.values())
    lowest = {item: highest[item] if isinstance(item, End) and not item.is_input else end for item in items}
    for item in reversed(items):
        for source in before[item]:
            lowest[source] = min(lowest[source], lowest[item] - 1)
    rows: dict[Item, int] = {}
    previous = first
    for item in items:
        least = max((rows[source] + 1 for source in before[item]), default=first)
        rows[item] = max(least, min(previous, lowest[item]))
        previous = rows[item]
    used = {row: i + first for i, row in enumerate(sorted(set(rows.values())))}
    return {item: used[row] for item, row in rows.items()}


def _add_edges(grid: Grid, ends: Iterable[tuple[Cell, Cell, str]]) -> None:
    """Add the edges, and the lanes of those that pass rows: one for all readers of a tensor that are further below."""
    lanes: dict[tuple[Cell, str], Cell] = {}
    for source, target, tensor in ends:
        if target.first > source.last + 1:
            lane = lanes.setdefault((source, tensor), Cell("lane", None, tensor, source.last + 1, source.last + 1))
            lane.last = max(lane.last, target.first - 1)
            hops: tuple[Hop, ...] = (Hop(source, lane, source.last), Hop(lane, target, target.first - 1))
        else:
            hops = (Hop(source, target, source.last),)
        grid.edges.append(Edge(tensor, hops))
    grid.cells += lanes.values()


def _add_segments(grid: Grid) -> None:
    """Divide the rows into segments, and give the cells of each their columns."""
    change = [0] * (grid.rows + 1)
    for cell in grid.cells:
        change[cell.first] += 1
        change[cell.last + 1] -= 1
    alone = [count == 1 for count in accumulate(change)]
    by_row: list[Segment] = []
    for row in range(grid.rows):
        if row and not alone[row] and not alone[row - 1]:
            grid.segments[-1].last = row
        else:
            grid.segments.append(Segment(row, row, []))
        by_row.append(grid.segments[-1])
    for cell in grid.cells:
        grid.segment_of[cell] = by_row[cell.first]
        by_row[cell.first].cells.append(cell)
    before, behind = neighbours(grid.edges)
    for segment in grid.segments:
        if len(segment.cells) > 1:
            add_columns(segment, before, behind)
