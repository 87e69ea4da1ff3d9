"""The levels between two rows at which edges go sideways, so that edges of different tensors do not run together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnspec.diagram.grid import Cell, Grid, Hop
from cnnspec.diagram.outline import Block, Item


@dataclass(eq=False)
class _Turn:
    """A hop that goes sideways: its tensor, and where it begins and ends, counted in columns."""

    hop: Hop
    tensor: str
    start: float
    end: float

    @property
    def low(self) -> float:
        return min(self.start, self.end)

    @property
    def high(self) -> float:
        return max(self.start, self.end)

    @property
    def rank(self) -> tuple[float, float]:
        """What comes first is higher: of edges that go the same way, the one that begins furthest that way."""
        return (-self.start, self.end) if self.end >= self.start else (self.start, -self.end)

    def is_one_with(self, other: _Turn) -> bool:
        """Whether both may run together: they have one source and tensor, or one target."""
        same_source = self.hop.source is other.hop.source and self.tensor == other.tensor
        return same_source or self.hop.target is other.hop.target

    def meets(self, other: _Turn) -> bool:
        """Whether both would touch at one level."""
        return self.low <= other.high and other.low <= self.high

    def is_above(self, other: _Turn) -> bool:
        """Whether it must be higher, as it begins where the other ends."""
        return abs(self.start - other.end) < 0.5


def add_levels(grid: Grid, grids: Mapping[Block, Grid]) -> None:
    """Give each hop of a grid that goes sideways its level, and the grid the number of levels below each row."""
    gaps: dict[int, dict[tuple[Cell, Cell, str], _Turn]] = defaultdict(dict)
    same: dict[tuple[Cell, Cell, str], list[Hop]] = defaultdict(list)
    for edge in grid.edges:
        for hop in edge.hops:
            key = (hop.source, hop.target, edge.tensor)
            same[key].append(hop)
            if not _is_below(grid, hop) or any(_has_ports(cell.item, grids) for cell in (hop.source, hop.target)):
                gaps[hop.gap].setdefault(key, _Turn(hop, edge.tensor, *_positions(grid, hop)))
    grid.levels = [0] * (grid.rows - 1)
    for gap, turns in gaps.items():
        grid.levels[gap] = _assign([*turns.values()])
    for hops in same.values():
        for hop in hops:
            hop.level = hops[0].level


def _positions(grid: Grid, hop: Hop) -> tuple[float, float]:
    """Return where a hop begins and ends, in columns of the segment that it is in or touches."""
    a, b = grid.segment_of[hop.source], grid.segment_of[hop.target]
    wide = a if a.columns > 1 else b
    middle = (wide.low + wide.high) / 2
    return (hop.source.column if a is wide else middle), (hop.target.column if b is wide else middle)


def _is_below(grid: Grid, hop: Hop) -> bool:
    """Whether the target is straight below the source, whatever the sizes are."""
    a, b = grid.segment_of[hop.source], grid.segment_of[hop.target]
    if a is b:
        return hop.source.column == hop.target.column
    return all(segment.low == segment.high == cell.column for segment, cell in ((a, hop.source), (b, hop.target)))


def _has_ports(item: Item | None, grids: Mapping[Block, Grid]) -> bool:
    """Whether edges may reach an item beside its axis: a block, when unfolded, that has several ways in or out."""
    if not isinstance(item, Block):
        return False
    grid = grids[item]
    return any(segment.columns > 1 for segment in (grid.segments[0], grid.segments[-1]))


def _assign(turns: Sequence[_Turn]) -> int:
    """Give the hops between two rows their levels; return how many there are."""
    waiting = sorted(turns, key=lambda turn: turn.rank)
    placed: list[_Turn] = []
    while waiting:
        free = (t for t in waiting if not any(o.is_above(t) and not o.is_one_with(t) for o in waiting if o is not t))
        turn = next(free, waiting[0])
        waiting.remove(turn)
        turn.hop.level = _level(turn, placed)
        placed.append(turn)
    return 1 + max(turn.hop.level or 0 for turn in placed)


def _level(turn: _Turn, placed: Sequence[_Turn]) -> int:
    """Return the highest level at which a hop meets no other, below those that must be above it."""
    above = [other for other in placed if not other.is_one_with(turn)]
    level = max((1 + (other.hop.level or 0) for other in above if other.is_above(turn)), default=0)
    taken = {other.hop.level for other in above if other.meets(turn)}
    while level in taken:
        level += 1
    return level
