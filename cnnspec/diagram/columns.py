"""The columns of the cells of a segment: what follows each other stands below each other, lanes as near as they can."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

from cnnspec.diagram.grid import Cell, Edge, Segment


class _Column:
    """The rows of a column that are taken."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def is_free(self, first: int, last: int) -> bool:
        """Whether no row of the range is taken."""
        at = bisect_left(self.taken, (first, first))
        behind = at < len(self.taken) and self.taken[at][0] <= last
        return not behind and not (at and self.taken[at - 1][1] >= first)

    def take(self, first: int, last: int) -> None:
        """Take the rows of a range."""
        insort(self.taken, (first, last))


def add_columns(segment: Segment, edges: Sequence[Edge]) -> None:
    """Give each cell of a segment its column, and the segment the number of its columns.

    Chains of cells go from left to right in the order in which their first layers are written. A lane takes the column
    of its source or of its only target where that is free, and the first free one on the right otherwise: short lanes
    are nearer, so that lanes within each other do not cross.
    """
    own = set(segment.cells)
    order = {cell: i for i, cell in enumerate(segment.cells)}
    before: dict[Cell, list[Cell]] = defaultdict(list)
    behind: dict[Cell, list[Cell]] = defaultdict(list)
    for edge in edges:
        for hop in edge.hops:
            if hop.target not in before or hop.source not in before[hop.target]:
                before[hop.target].append(hop.source)
                behind[hop.source].append(hop.target)
    columns: list[_Column] = []
    for chain in _chains([cell for cell in segment.cells if cell.role != "lane"], order, before, behind):
        _place(chain, columns, range(len(columns)))
    segment.columns, segment.low, segment.high = len(columns), 0, len(columns) - 1
    lanes = [cell for cell in segment.cells if cell.role == "lane"]
    for lane in sorted(lanes, key=lambda lane: (lane.last - lane.first, lane.last)):
        near = [cell.column for cell in before[lane] if cell in own]
        if len(behind[lane]) == 1:
            near += [cell.column for cell in behind[lane] if cell in own]
        _place([lane], columns, [*near, *range(segment.columns, len(columns))])
    segment.columns = len(columns)


def _place(chain: Sequence[Cell], columns: list[_Column], preferred: Sequence[int]) -> None:
    """Put cells of rows that follow each other into the first preferred column that is free, or into a new one."""
    first, last = chain[0].first, chain[-1].last
    at = next((i for i in preferred if columns[i].is_free(first, last)), len(columns))
    if at == len(columns):
        columns.append(_Column())
    columns[at].take(first, last)
    for cell in chain:
        cell.column = at


def _chains(
    cells: Sequence[Cell], order: dict[Cell, int], before: dict[Cell, list[Cell]], behind: dict[Cell, list[Cell]]
) -> list[list[Cell]]:
    """Divide cells into chains, each cell in the row below the one before; where several meet, the oldest goes on."""
    chains: list[list[Cell]] = []
    chain_of: dict[Cell, int] = {}
    for cell in sorted(cells, key=lambda cell: (cell.first, order[cell])):
        ending = [chain_of[source] for source in before[cell] if source in chain_of]
        ending = [i for i in ending if chains[i][-1].last == cell.first - 1 and chains[i][-1] in before[cell]]
        if ending:
            chain_of[cell] = min(ending)
            chains[chain_of[cell]].append(cell)
        else:
            chain_of[cell] = len(chains)
            chains.append([cell])
    return sorted(chains, key=lambda chain: min(_written(cell, order, before, behind) for cell in chain))


def _written(cell: Cell, order: dict[Cell, int], before: dict[Cell, list[Cell]], behind: dict[Cell, list[Cell]]) -> int:
    """Return the place of a cell in the order of the text; ports stand where what they lead to does."""
    if cell.role == "item":
        return order[cell]
    return min((order.get(other, len(order)) for other in (*before[cell], *behind[cell])), default=order[cell])
