"""What a method of computing an operation provides, and the costs that methods are chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from cnnspec.arrays import Array
from cnnspec_numpy.plan.finish import Finish, View
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.value import CHANNELS_LAST, Border, Layout, Value

Read = Callable[[str], Array]
"""Returns a parameter of the operation's layer, in float64."""
Range = tuple[int, int]
"""[first, end) of the channels."""


@dataclass(frozen=True)
class Job:
    """An operation to compute with its arrays: one lane's share, where several threads work on it."""

    operation: Operation
    x: Sequence[Value]
    y: Value
    finish: Finish
    prepared: Callable[[str, Callable[[Read], Any]], Array]
    """Returns an array that is computed from the weights, and again whenever they change."""
    work: Callable[[str], Array]
    """Returns the lane's memory of the name that `workspace` gave, as a vector."""
    lane: int = 0
    lanes: int = 1

    def divided(self, blocks: Sequence[Block], channels: int, shares_channels: bool) -> tuple[Sequence[Block], Range]:
        """Return this lane's blocks, and the range of the output channels that it computes of them."""
        if shares_channels:
            return blocks, (self.lane * channels // self.lanes, (self.lane + 1) * channels // self.lanes)
        return self.share(blocks), (0, channels)

    def view(self, block: Block, channels: Range | None = None) -> View:
        """Return what selects a block of the output, and those channels of it."""
        step = 2 if self.operation.pool is not None else 1
        rows, which = slice(block.r0 // step, block.r1 // step), slice(*channels) if channels else slice(None)
        if self.y.layout is CHANNELS_LAST:
            return lambda y: y[block.n0 : block.n1, rows, :, which]
        return lambda y: y[rows, which]

    def share(self, blocks: Sequence[Any]) -> Sequence[Any]:
        """Return this lane's part of the blocks."""
        n = len(blocks)
        return blocks[self.lane * n // self.lanes : (self.lane + 1) * n // self.lanes]


class Method:
    """A way to compute operations of some kind in one layout. It is a value without state."""

    name: ClassVar[str]
    layout: Layout
    in_place: ClassVar[bool] = False
    """Whether the output may lie where the first input lies: each element is read before it is written."""
    takes_flattened: ClassVar[bool] = False
    """Whether a vector may be an image as it is stored, whose features are in the order of the layout."""

    def applies(self, operation: Operation) -> bool:
        """Whether it can compute this operation."""
        return True

    def border(self, operation: Operation) -> Border:
        """Return the zeros that it needs around its image."""
        return Border()

    def cost(self, operation: Operation, n: int) -> float:
        """Return the seconds that n samples are estimated to take on one core."""
        raise NotImplementedError

    def workspace(self, operation: Operation, n: int, lanes: int) -> dict[str, int]:
        """Return how many numbers of memory each lane needs, by name."""
        return {}

    def calls(self, job: Job) -> Iterator[Call]:
        """Yield the calls that compute the job."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.name


class Block(NamedTuple):
    """Rows r0 … r1 of the output of samples n0 … n1."""

    n0: int
    n1: int
    r0: int
    r1: int


def blocks_of(n: int, rows: int, limit: int, lanes: int, even: bool = False) -> list[Block]:
    """Return blocks of at most `limit` rows, of one sample or of several whole ones.

    Where samples are divided, the blocks can be shared evenly: each lane has as many, and rows that differ by few. With
    `even` a block has an even number of rows, and an odd last row is left out.
    """
    unit = 2 if even else 1
    units, limit = rows // unit, max(1, limit // unit)
    if limit < units or (n < lanes and units > 1):
        each = lanes // math.gcd(n, lanes)
        pieces = min(units, -(-units // (limit * each)) * each)
        ends = [unit * (i * units // pieces) for i in range(pieces + 1)]
        return [Block(i, i + 1, r0, r1) for i in range(n) for r0, r1 in pairwise(ends)]
    samples = min(limit // units, -(-n // lanes))
    return [Block(i, min(i + samples, n), 0, unit * units) for i in range(0, n, samples)]


# Costs, in seconds on one core; rough figures of AVX2 and AVX-512 machines, see docs/performance.md.

FLOPS = 85e9
"""Of a large matrix product in float32."""
CALL = 1.0e-6
PASS = 0.15e-9
"""An element of a pass over an array in the cache."""
RUN = 2.5e-9
"""The start of a run of neighbouring elements in a copy."""

CACHE = 1 << 17
"""Numbers that a block may take: half of a second-level cache of 1 MiB, in float32."""


def product_cost(m: int, k: int, n: int, count: int = 1) -> float:
    """Return the time of `count` matrix products [m, k] @ [k, n]: BLAS needs some size for its full speed."""
    return count * (0.5e-6 + 2 * (m + 4) * (k + 8) * (n + 12) / FLOPS)


def copy_cost(elements: float, run: float) -> float:
    """Return the time to copy elements in runs of neighbours."""
    return elements * PASS + elements / max(run, 1) * RUN


def size_of(shape: Sequence[int]) -> int:
    """Return how many numbers an array of that shape has."""
    return math.prod(shape)
