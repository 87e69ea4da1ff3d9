"""The grid that the parts of a block stand in: cells in rows and columns, and the edges between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cnnspec.diagram.outline import Item


@dataclass(eq=False)
class Cell:
    """A place in the grid of a block: of an item, of a tensor that enters or leaves the block, or of a lane."""

    role: Literal["item", "entry", "exit", "lane"]
    item: Item | None
    tensor: str | None
    """The tensor of an entry, an exit or a lane."""
    first: int
    last: int
    """The rows that it takes: lanes take several."""
    column: int = 0
    """The column in its segment."""


@dataclass(eq=False)
class Hop:
    """A part of an edge between two rows: from a cell to another, at a level between the rows."""

    source: Cell
    target: Cell
    gap: int
    """The row above it."""
    level: int | None = None
    """The height at which it goes sideways, counted from above; None where the cells are in one column."""


@dataclass(eq=False)
class Edge:
    """The way of a tensor from a cell to another of the same block."""

    tensor: str
    hops: tuple[Hop, ...]

    @property
    def source(self) -> Cell:
        """Where it begins."""
        return self.hops[0].source

    @property
    def target(self) -> Cell:
        """Where it ends."""
        return self.hops[-1].target


@dataclass(eq=False)
class Segment:
    """Rows that share columns; it is centred on the columns from `low` to `high`.

    That is the one through all of whose rows a way goes on to the next segment, if there is a next one, or those of all
    items where there is no one such column.
    """

    first: int
    last: int
    cells: list[Cell]
    columns: int = 1
    low: int = 0
    high: int = 0


@dataclass(eq=False)
class Grid:
    """The cells and edges of a block."""

    rows: int
    cells: list[Cell] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    """How many levels there are below each row but the last."""
    segment_of: dict[Cell, Segment] = field(default_factory=dict)
    has_ports: bool = False
    """Whether the first and the last row are those of tensors that enter and leave."""
