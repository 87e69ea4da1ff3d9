"""The method and the layout of each operation: those of the least estimated time, conversions included."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cnnspec_numpy.plan.lower import Operation, is_view
from cnnspec_numpy.plan.method import Method, copy_cost
from cnnspec_numpy.plan.methods.table import candidates
from cnnspec_numpy.plan.value import BATCH_LAST, CHANNELS_LAST, Layout

LAYOUTS = (CHANNELS_LAST, BATCH_LAST)
Measure = Callable[[Operation, Method, int], float]
"""Returns the seconds that a method takes for n samples."""
Conversion = Callable[[Operation, int], float]
"""Returns the seconds to bring the output of an operation for n samples from one layout to the other."""


@dataclass(frozen=True)
class Choice:
    """A method for an operation, and the seconds that it is estimated to take."""

    operation: Operation
    method: Method
    seconds: float


def choose(operations: list[Operation], n: int, fast: bool, measure: Measure, conversion: Conversion) -> list[Choice]:
    """Return a method for each operation.

    In each layout the fastest candidate is taken. Layouts are chosen so that runs of operations keep the one that
    serves them best: the least time of everything up to an operation, in either layout, is that of its inputs in the
    better of theirs, a conversion where that is another, and its own. This is exact for chains and trees; where
    branches meet, what came before them is divided among its readers, and the result is compared with both layouts
    alone.
    """
    best = [{layout: _fastest(op, layout, n, fast, measure) for layout in LAYOUTS} for op in operations]
    converting = [conversion(op, n) for op in operations]
    plans = [_by_dynamic_programming(operations, best, converting), *([layout] * len(operations) for layout in LAYOUTS)]
    layouts = min(plans, key=lambda plan: _total(operations, best, plan, converting))
    return [of[layout] for of, layout in zip(best, layouts, strict=True)]


def _fastest(operation: Operation, layout: Layout, n: int, fast: bool, measure: Measure) -> Choice:
    if not operation.node.inputs or is_view(operation.node):
        return Choice(operation, NOTHING[layout], 0.0)
    found = candidates(operation, layout, fast)
    choices = [Choice(operation, method, measure(operation, method, n)) for method in found]
    return min(choices, key=lambda choice: choice.seconds)


class _Nothing(Method):
    """The method of what takes no work: an input, or a view of one."""

    name = "view"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout


NOTHING = {layout: _Nothing(layout) for layout in LAYOUTS}


def estimated(operation: Operation, method: Method, n: int) -> float:
    """Return the estimated seconds of a method."""
    return method.cost(operation, n)


def conversion_cost(operation: Operation, n: int) -> float:
    """Return the time to bring the output of an operation from one layout to the other."""
    size = n * math.prod(operation.last.shape)
    return 1.5e-6 + copy_cost(size, 3.0)


def _by_dynamic_programming(
    operations: list[Operation], best: list[dict[Layout, Choice]], converting: list[float]
) -> list[Layout]:
    index = {operation.name: i for i, operation in enumerate(operations)}
    readers = [0] * len(operations)
    for operation in operations:
        for name in operation.inputs:
            readers[index[name]] += 1
    least: list[dict[Layout, float]] = []
    came: list[dict[Layout, dict[int, Layout]]] = []
    for i, operation in enumerate(operations):
        least.append({})
        came.append({})
        for layout in LAYOUTS:
            total, origin = best[i][layout].seconds, {}
            for name in operation.inputs:
                j = index[name]
                costs = {
                    other: least[j][other] / readers[j] + (0.0 if other is layout else converting[j])
                    for other in LAYOUTS
                }
                origin[j] = min(costs, key=lambda other: costs[other])
                total += costs[origin[j]]
            least[i][layout], came[i][layout] = total, origin
    found: list[Layout | None] = [None] * len(operations)
    for i in range(len(operations) - 1, -1, -1):
        layout = found[i] or min(LAYOUTS, key=lambda option: least[i][option])
        found[i] = layout
        for j, before in came[i][layout].items():
            found[j] = found[j] or before
    return [layout or CHANNELS_LAST for layout in found]


def _total(
    operations: list[Operation], best: list[dict[Layout, Choice]], layouts: list[Layout], converting: list[float]
) -> float:
    index = {operation.name: i for i, operation in enumerate(operations)}
    total = sum(of[layout].seconds for of, layout in zip(best, layouts, strict=True))
    conversions = {
        (index[name], layouts[i])
        for i, operation in enumerate(operations)
        for name in operation.inputs
        if layouts[index[name]] is not layouts[i]
    }
    return total + sum(converting[j] for j, _ in conversions)
