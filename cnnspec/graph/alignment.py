"""Alignment of the layers of two graphs: which layer of the one is which of the other, by structure and name.

Layers are compared in topological order. Where the sequences are short, the alignment is the one of the greatest sum of
scores (Needleman & Wunsch 1970), which knows layers that are alike. Long sequences that barely differ are first aligned
by the layers that they have in common (Myers 1986), in time linear in their length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from cnnspec.graph.graph import Node
from cnnspec.layers import Shape

MOST_CELLS = 1_000_000
"""The most pairs of layers that are compared with one another at once."""
MOST_EDITS = 200
"""The most layers in which long sequences may differ to be aligned by what they have in common."""
PIECE = 400
"""The length of the pieces of long sequences that differ more."""

EQUAL, SAME_KIND, SAME_FIELDS, SAME_FAMILY = 100, 40, 30, 15
SAME_SHAPE, SAME_BLOCK, SAME_NAME = 4, 20, 5
"""Scores. Two equal layers score more than two of one kind that have everything but a field in common."""


class Pair(NamedTuple):
    """Two layers that correspond, by their indices."""

    before: int
    after: int


def given_name(node: Node) -> str:
    """Return the part of a name that the author gave: without the kind and the number of a layer without a name."""
    block, dot, last = node.name.rpartition(".")
    return block + dot if last.rstrip("0123456789") == node.kind else node.name


def fields_of(node: Node) -> dict[str, Any]:
    """Return the fields of a layer as a spec writes them."""
    return node.layer.model_dump()


class Sequenced:
    """The layers of a graph in order, with what the alignment compares."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.fields = [fields_of(node) for node in nodes]
        self.signatures = [(node.kind, repr(fields)) for node, fields in zip(nodes, self.fields, strict=True)]
        self.blocks = [given_name(node) for node in nodes]

    @cached_property
    def indices(self) -> dict[tuple[str, str], int]:
        """The first layer of each signature."""
        return {signature: i for i, signature in reversed([*enumerate(self.signatures)])}

    def same(self, i: int, other: Sequenced, j: int) -> bool:
        """Return whether two layers have the same fields and the same name."""
        return self.signatures[i] == other.signatures[j] and self.nodes[i].name == other.nodes[j].name


def align(before: Sequence[Node], after: Sequence[Node]) -> list[Pair]:
    """Return the layers that correspond, in ascending order in both graphs."""
    a, b = Sequenced(before), Sequenced(after)
    first, shorter = 0, min(len(before), len(after))
    while first < shorter and a.same(first, b, first):
        first += 1
    last = 0
    while last < shorter - first and a.same(len(before) - last - 1, b, len(after) - last - 1):
        last += 1
    ends = (len(before) - last, len(after) - last)
    middle = _between(a, b, range(first, ends[0]), range(first, ends[1]))
    return [
        *(Pair(i, i) for i in range(first)),
        *middle,
        *(Pair(ends[0] + i, ends[1] + i) for i in range(last)),
    ]


def _between(a: Sequenced, b: Sequenced, rows: range, columns: range) -> Iterator[Pair]:
    """Yield the pairs of a part of both sequences."""
    if len(rows) * len(columns) <= MOST_CELLS:
        yield from _by_scores(a, b, rows, columns)
        return
    common = _in_common([_token(a, i) for i in rows], [_token(b, j) for j in columns])
    if common is None:
        count = -(-max(len(rows), len(columns)) // PIECE)
        for part in range(count):
            yield from _by_scores(a, b, _part(rows, part, count), _part(columns, part, count))
        return
    anchors = [Pair(rows[i], columns[j]) for i, j in common]
    edges = [Pair(rows.start - 1, columns.start - 1), *anchors, Pair(rows.stop, columns.stop)]
    for left, right in pairwise(edges):
        gap = range(left.before + 1, right.before), range(left.after + 1, right.after)
        yield from _by_scores(a, b, *gap)
        if right is not edges[-1]:
            yield right


def _part(whole: range, part: int, count: int) -> range:
    return whole[len(whole) * part // count : len(whole) * (part + 1) // count]


def _token(side: Sequenced, i: int) -> tuple[str, str, str]:
    return *side.signatures[i], side.blocks[i]


def _in_common(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[int, int]] | None:
    """Return the indices of a longest common subsequence; None where more than MOST_EDITS elements are not in it."""
    reached = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(MOST_EDITS + 1):
        history.append(dict(reached))
        for diagonal in range(-edits, edits + 1, 2):
            i = _step(reached, diagonal, edits)
            while i < len(a) and 0 <= i - diagonal < len(b) and a[i] == b[i - diagonal]:
                i += 1
            reached[diagonal] = i
            if i >= len(a) and i - diagonal >= len(b):
                return _traced(history, len(a), len(b))
    return None


def _step(reached: dict[int, int], diagonal: int, edits: int) -> int:
    """Return where a path of so many edits comes to a diagonal: from the one above or below, whichever is farther."""
    if diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1]):
        return reached[diagonal + 1]
    return reached[diagonal - 1] + 1


def _traced(history: list[dict[int, int]], i: int, j: int) -> list[tuple[int, int]]:
    """Return the equal elements on the path that leads to the ends of both sequences."""
    found = []
    for edits in range(len(history) - 1, -1, -1):
        start = _step(history[edits], i - j, edits)
        while i > start:
            i, j = i - 1, j - 1
            found.append((i, j))
        if edits:
            reached, diagonal = history[edits], i - j
            inserted = diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])
            i, j = (i, j - 1) if inserted else (i - 1, j)
    return found[::-1]


def _by_scores(a: Sequenced, b: Sequenced, rows: range, columns: range) -> list[Pair]:
    """Return the pairs whose scores have the greatest sum; of several such alignments, that with the earliest pairs."""
    if not rows or not columns:
        return []
    rows, columns = rows[::-1], columns[::-1]  # from the end, so that the way back begins with the earliest pairs
    scores = _Scores(a, b, columns)
    best = [0] * (len(columns) + 1)
    moves: list[bytearray] = []
    for i in rows:
        above, best = best, [0]
        move = bytearray(len(columns))
        left = 0
        for j, score in enumerate(scores.of(i)):
            up = above[j + 1]
            if score and (both := above[j] + score) >= up and both >= left:
                left = both
                move[j] = _PAIR
            elif up >= left:
                left = up
                move[j] = _UP
            best.append(left)
        moves.append(move)
    found: list[Pair] = []
    i, j = len(rows) - 1, len(columns) - 1
    while i >= 0 and j >= 0:
        here = moves[i][j]
        if here == _PAIR:
            found.append(Pair(rows[i], columns[j]))
        i -= here in (_PAIR, _UP)
        j -= here != _UP
    return found


_UP, _PAIR = 1, 2


class _Scores:
    """The scores of layers of one graph with a part of those of the other; 0 for layers that are not alike."""

    def __init__(self, a: Sequenced, b: Sequenced, columns: range) -> None:
        self.a, self.b = a, b
        self.signatures = [b.signatures[j] for j in columns]
        self.rows: dict[tuple[str, str], list[int]] = {}
        self.shapes: dict[Shape, list[int]] = defaultdict(list)
        self.blocks: dict[str, list[int]] = defaultdict(list)
        self.names: dict[str, int] = {}
        for at, j in enumerate(columns):
            self.shapes[b.nodes[j].shape].append(at)
            self.blocks[b.blocks[j]].append(at)
            self.names[b.nodes[j].name] = at

    def of(self, i: int) -> list[int]:
        """Return the score of a layer with each of the others."""
        signature, node = self.a.signatures[i], self.a.nodes[i]
        if signature not in self.rows:
            by_signature = {other: self.alike(signature, other) for other in {*self.signatures}}
            self.rows[signature] = [by_signature[other] for other in self.signatures]
        row = self.rows[signature][:]
        same = [(SAME_SHAPE, self.shapes.get(node.shape, ()))]
        if block := self.a.blocks[i]:
            same.append((SAME_BLOCK, self.blocks.get(block, ())))
        if (at := self.names.get(node.name)) is not None:
            same.append((SAME_NAME, [at]))
        for score, places in same:
            for at in places:
                if row[at]:
                    row[at] += score
        return row

    def alike(self, signature: tuple[str, str], other: tuple[str, str]) -> int:
        """Return the score of two layers of these signatures, without their names and shapes."""
        if signature == other:
            return EQUAL
        i, j = self.a.indices[signature], self.b.indices[other]
        if signature[0] == other[0]:
            fields, others = self.a.fields[i], self.b.fields[j]
            equal: list[bool] = [fields[key] == others.get(key) for key in fields]
            return SAME_KIND + SAME_FIELDS * sum(equal) // max(1, len(equal))
        layer, other_layer = self.a.nodes[i].layer, self.b.nodes[j].layer
        return SAME_FAMILY if type(layer).__module__ == type(other_layer).__module__ else 0
