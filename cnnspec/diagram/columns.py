"""The columns of the cells of a segment: what follows each other stands below each other, lanes as near as they can."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence

from cnnspec.diagram.grid import Cell, Edge, Segment

SHORT = 4
"""The most rows of a lane that keeps the column of the branch to which it leads."""


class _Column:
    """The rows of a column that are taken."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []

    def is_free(self, first: int, last: int) -> bool:
        """Whether no row of the range is taken."""
        at = bisect_left(self.taken, (first, first))
        behind = at < len(self.taken) and self.taken[at][0] <= last
        return not behind and not (at and self.taken[at - 1][1] >= first)

    def covers(self, first: int, last: int) -> bool:
        """Whether one chain takes all rows of the range."""
        return self.taken == [(first, last)]

    def take(self, first: int, last: int) -> None:
        """Take the rows of a range."""
        insort(self.taken, (first, last))


Neighbours = Mapping[Cell, Sequence[Cell]]
"""The cells from which edges lead to a cell, or to which they lead from it."""


def neighbours(edges: Sequence[Edge]) -> tuple[Neighbours, Neighbours]:
    """Return the cells before each cell, and those behind it."""
    before: dict[Cell, list[Cell]] = defaultdict(list)
    behind: dict[Cell, list[Cell]] = defaultdict(list)
    for source, target in dict.fromkeys((hop.source, hop.target) for edge in edges for hop in edge.hops):
        before[target].append(source)
        behind[source].append(target)
    return before, behind


def add_columns(segment: Segment, before: Neighbours, behind: Neighbours) -> None:
    """Give each cell of a segment its column, and the segment the number of its columns.

    Chains of cells go from left to right in the order in which their first layers are written. A lane that leads to a
    branch or goes on from its end stands above or below it; any other takes the column of its source or of its only
    target where that is free, and the first free one on the right otherwise: short lanes are nearer, so that lanes
    within each other do not cross.
    """
    order = {cell: i for i, cell in enumerate(segment.cells)}
    columns: list[_Column] = []
    chains = _chains([cell for cell in segment.cells if cell.role != "lane"], order, before, behind)
    chains = [_with_lanes(chain, order, before, behind) for chain in chains]
    for chain in chains:
        _put(chain, _first_free(chain[0].first, chain[-1].last, columns, range(len(columns))), columns)
    ends = [cell for chain in chains for cell in chain if any(target not in order for target in behind[cell])]
    leaving = {cell.column for cell in ends} or range(len(columns))
    whole = [i for i, column in enumerate(columns) if i in leaving and column.covers(segment.first, segment.last)]
    segment.low, segment.high = (whole[0], whole[0]) if len(whole) == 1 else (0, len(columns) - 1)
    placed = {cell for chain in chains for cell in chain}
    lanes = [cell for cell in segment.cells if cell not in placed]
    on_the_right = len(columns)
    for lane in sorted(lanes, key=lambda lane: (lane.last - lane.first, lane.last)):
        near = [cell.column for cell in before[lane] if cell in order]
        near += [cell.column for cell in behind[lane] if cell in order and len(behind[lane]) == 1]
        at = _first_free(lane.first, lane.last, columns, near)
        if at == len(columns):
            # A row between two lanes, so that the end of one does not run into the beginning of the other.
            at = _first_free(lane.first - 1, lane.last + 1, columns, range(on_the_right, len(columns)))
        _put([lane], at, columns)
    segment.columns = len(columns)


def _with_lanes(chain: Sequence[Cell], order: dict[Cell, int], before: Neighbours, behind: Neighbours) -> list[Cell]:
    """Return a chain with the lane that leads to it from where branches part, and the one that goes on from its end."""
    found = list(chain)
    match before[chain[0]]:
        case [lane] if lane in order and lane.role == "lane" and len(behind[lane]) == 1:
            if lane.last - lane.first < SHORT and not any(source in order for source in before[lane]):
                found.insert(0, lane)
    match behind[chain[-1]]:
        case [lane] if lane in order and lane.role == "lane" and len(behind[lane]) == 1:
            found.append(lane)
    return found


def _first_free(first: int, last: int, columns: Sequence[_Column], preferred: Sequence[int]) -> int:
    """Return the first of the columns that is free in a range of rows; where none is, the number of a new one."""
    return next((i for i in preferred if columns[i].is_free(first, last)), len(columns))


def _put(chain: Sequence[Cell], at: int, columns: list[_Column]) -> None:
    """Put cells of rows that follow each other into a column."""
    if at == len(columns):
        columns.append(_Column())
    columns[at].take(chain[0].first, chain[-1].last)
    for cell in chain:
        cell.column = at


def _chains(cells: Sequence[Cell], order: dict[Cell, int], before: Neighbours, behind: Neighbours) -> list[list[Cell]]:
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


def _written(cell: Cell, order: dict[Cell, int], before: Neighbours, behind: Neighbours) -> int:
    """Return the place of a cell in the order of the text; ports stand where what they lead to does."""
    if cell.role == "item":
        return order[cell]
    return min((order.get(other, len(order)) for other in (*before[cell], *behind[cell])), default=order[cell])
