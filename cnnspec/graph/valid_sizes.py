"""Which sizes of its inputs a network accepts, found by its own shape rules, size by size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cnnspec.graph.costs import receptive_fields
from cnnspec.graph.graph import Graph, Node
from cnnspec.graph.resizing import Fault, Outcome, Resizing
from cnnspec.graph.size_sets import SizeSet, pattern
from cnnspec.layers import Shape
from cnnspec.layers.axes import along_axes
from cnnspec.layers.geometry import AXES

MOST_WORK = 1_000_000
"""How many layers are inferred or looked up, in all, before sizes in the middle are left out."""
MOST_PERIOD = 4096


class Place(NamedTuple):
    """An axis of an input, and its size as the network is."""

    input: str
    axis: int
    """0 is the first spatial axis."""
    name: str
    """Such as height."""
    size: int


@dataclass(frozen=True)
class Reason:
    """Why a size is not among those of a set."""

    size: int
    fault: Fault


@dataclass(frozen=True)
class ValidSizes:
    """The sizes along some axes of the inputs."""

    groups: tuple[tuple[Place, ...], ...]
    """The axes: those of a group grow and shrink together, and each group may have any of these sizes by itself."""
    keeping: SizeSet
    """The sizes at which the weights of the network fit."""
    fitting: SizeSet
    """The sizes at which every layer fits, with weights of its own."""
    reading: SizeSet
    """Those of the latter at which no window leaves the end of its input out."""
    below: Reason | None
    """Why the size below the smallest of `fitting` does not fit."""
    between: Reason | None
    """Why a size above the smallest of `fitting` does not fit, where one does not."""
    around: tuple[Reason, ...]
    """Why the sizes around those of `keeping` have other weights."""
    leaves: tuple[int, Outcome] | None
    """The size of the network if it leaves something out, or the next that does; and what is left out."""
    period: int
    """The number of elements after which every stride begins anew."""
    tried: tuple[range, ...]
    """The sizes that were tried."""


def valid_sizes(graph: Graph, resizing: Resizing | None = None) -> list[ValidSizes]:
    """Return the sizes that a network accepts along the spatial axes of its inputs.

    `resizing` says what becomes of the network at other sizes; by default the shape rules of the graph.

    Axes that accept the same sizes independently of each other are one entry. Those that must change together, such as
    the heights of two inputs that are added, are one group. Nothing where no input has spatial axes.
    """
    places = [
        Place(name, axis, AXES[len(shape) - 1][axis], n)
        for name, shape in ((name, graph.by_name[name].shape) for name in graph.inputs)
        for axis, n in enumerate(shape[1:])
    ]
    if not places:
        return []
    search = _Search(graph, resizing or Resizing(graph), len(places))
    for groups in _groupings(places):
        found = [search.sizes(group) for group in groups]
        if len(groups) == 1 or search.independent(places, groups):
            return _joined(found)
    raise AssertionError("the last grouping is one group")


def _groupings(places: Sequence[Place]) -> Iterator[list[list[Place]]]:
    """Yield groups of axes that move together, the finest first: each by itself, by axis, by input, all."""
    yield [[place] for place in places]
    for key in (_axis_name, _input_name):
        groups: dict[str, list[Place]] = {}
        for place in places:
            groups.setdefault(key(place), []).append(place)
        if 1 < len(groups) < len(places):
            yield [*groups.values()]
    if len(places) > 1:
        yield [list(places)]


def _axis_name(place: Place) -> str:
    return place.name


def _input_name(place: Place) -> str:
    return place.input


def _joined(found: Iterable[ValidSizes]) -> list[ValidSizes]:
    """Return the entries with those of equal sets as one."""
    joined: dict[tuple[object, ...], ValidSizes] = {}
    for entry in found:
        key = (entry.groups[0][0].size, entry.keeping, entry.fitting, entry.reading)
        first = joined.get(key)
        joined[key] = entry if first is None else replace(first, groups=(*first.groups, *entry.groups))
    return [*joined.values()]


class _Search:
    """The trials over one graph; those of a group of axes are kept."""

    def __init__(self, graph: Graph, resizing: Resizing, groups: int) -> None:
        self.graph = graph
        self.resizing = resizing
        self.shapes = {name: graph.by_name[name].shape for name in graph.inputs}
        self.periods = _periods(graph)
        self.work = MOST_WORK // (groups + 1)
        self._outcomes: dict[tuple[Place, ...], dict[int, Outcome]] = {}

    def sizes(self, group: Sequence[Place]) -> ValidSizes:
        """Return the sizes along axes that move together; the size is that of the first."""
        places, own = tuple(group), group[0].size
        period = min(MOST_PERIOD, math.lcm(*(self.periods[place.name] for place in group)))
        tried = self._try_all(places, period)
        axes = {place.axis for place in group}
        outcomes = {n: outcome.along(axes) for n, outcome in self._outcomes[places].items()}
        first_block = tried[0]

        def holds(is_so: Callable[[Outcome], bool]) -> SizeSet:
            found = [n for n, outcome in outcomes.items() if is_so(outcome)]
            low = [n for n in found if n in first_block]
            sizes = pattern(low, first_block[-1], period)
            high = tuple(n for n in found if n not in first_block)
            if len(tried) == 1 or all((n in sizes) == (n in high) for n in tried[1]):
                return sizes
            return SizeSet(tuple(sorted((*low, *high)))) if not sizes.repeats else sizes

        keeping, fitting = holds(lambda o: o.keeps_weights), holds(lambda o: o.fits)
        reading = holds(lambda o: o.reads_all)
        first = fitting.first or own
        misfits = [n for n in sorted(outcomes) if n > first and outcomes[n].fault is not None]
        leaves = next((n for n in (own, *range(own, own + period + 1)) if n in outcomes and outcomes[n].unread), None)
        return ValidSizes(
            (places,),
            keeping,
            fitting,
            reading,
            self._reason(outcomes, first - 1),
            self._reason(outcomes, misfits[0]) if misfits else None,
            tuple(self._around(outcomes, keeping, own)),
            None if leaves is None else (leaves, outcomes[leaves]),
            period,
            tried,
        )

    def _try_all(self, places: tuple[Place, ...], period: int) -> tuple[range, ...]:
        """Try sizes in a row from 1 up, to three periods beyond the first that fits, and to two beyond the own size.

        Where that is too much, those in the middle are left out.
        """
        own = places[0].size
        before = self.resizing.inferred
        smallest = 1 + max(0, *(own - place.size for place in places))  # the others have at least one element
        for n in range(1, smallest):
            self._outcomes.setdefault(places, {})[n] = Outcome(Fault(places[0].input, "the other axis has no element"))
        n = smallest
        while n < own and not self._at(places, n).fits:
            n += 1
        end = n + 3 * period
        nodes = self.resizing.cost
        last = max(end, own + 2 * period)
        left = self.work - (self.resizing.inferred - before)
        gap = (last - n) * nodes > left and end < own - period
        blocks = (range(1, end + 1), range(own - period, own + period + 1)) if gap else (range(1, last + 1),)
        for block in blocks:
            for n in block:
                self._at(places, n)
        return blocks

    def _at(self, places: tuple[Place, ...], n: int) -> Outcome:
        outcomes = self._outcomes.setdefault(places, {})
        if n not in outcomes:
            outcomes[n] = self.resizing.at(self._shapes(places, n - places[0].size))
        return outcomes[n]

    def _shapes(self, places: Iterable[Place], offset: int) -> dict[str, Shape]:
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        for place in places:
            shapes[place.input][1 + place.axis] += offset
        return {name: tuple(shape) for name, shape in shapes.items()}

    def independent(self, places: Sequence[Place], groups: Sequence[Sequence[Place]]) -> bool:
        """Whether all axes moved at once fit where each group by itself does, around the network's own sizes."""
        everything = tuple(places)
        own = everything[0].size
        reach = 2 * min(MOST_PERIOD, math.lcm(*(self.periods[place.name] for place in places)))
        reach = min(reach, max(2, self.work // (2 * self.resizing.cost)))
        lowest = 1 - min(place.size for place in places)
        for offset in range(max(lowest, -reach), reach + 1):
            each = [self._at(tuple(group), group[0].size + offset) for group in groups]
            at_once = self._at(everything, own + offset)
            if at_once.fits != all(o.fits for o in each):
                return False
        return True

    def _reason(self, outcomes: dict[int, Outcome], n: int) -> Reason | None:
        fault = outcomes[n].fault if n in outcomes else None
        return Reason(n, fault) if fault else None

    def _around(self, outcomes: dict[int, Outcome], keeping: SizeSet, own: int) -> Iterator[Reason]:
        if keeping.repeats:
            return
        low = high = own
        while low - 1 in keeping:
            low -= 1
        while high + 1 in keeping:
            high += 1
        for n in (low - 1, high + 1):
            outcome = outcomes.get(n, Outcome())
            if reason := outcome.fault or outcome.reweighted:
                yield Reason(n, reason)


def _periods(graph: Graph) -> dict[str, int]:
    """Return, for each spatial axis, a number of elements after which every stride on the way begins anew."""
    fields = receptive_fields(graph)
    fixed: set[str] = set()
    found: dict[str, int] = {}
    for name in graph.inputs:
        found |= dict.fromkeys(AXES.get(len(graph.by_name[name].shape) - 1, ()), 1)
    for node in graph.nodes:
        if not fixed.isdisjoint(node.inputs) or _fixes_size(node):
            fixed.add(node.name)
            continue
        axes = AXES.get(len(fields[node.name]), ())
        for axis, field in zip(axes, fields[node.name], strict=True):
            if axis in found and field.jump > 0 and (period := math.lcm(found[axis], field.jump)) <= MOST_PERIOD:
                found[axis] = period
    return found


def _fixes_size(node: Node) -> bool:
    """Whether the layer states the size of its output, whatever the input's."""
    size = getattr(node.layer, "size", None) if node.like is None else None
    return size is not None and node.shape[1:] == along_axes(size, len(node.shape) - 1, "size")
