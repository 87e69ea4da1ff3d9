"""A plan: the calls that compute a graph for n samples, each bound to its arrays in one block of memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cnnspec.arrays import Array
from cnnspec.graph.costs import peak_activation_bytes
from cnnspec.graph.graph import Graph, Node
from cnnspec_numpy.plan.arena import Arena, in_use
from cnnspec_numpy.plan.bound import bound
from cnnspec_numpy.plan.choice import Choice
from cnnspec_numpy.plan.finish import Constants, Finish, nchw, spares
from cnnspec_numpy.plan.functions import Call
from cnnspec_numpy.plan.lower import Operation, is_view
from cnnspec_numpy.plan.memory import aligned, allocate, carve, peak
from cnnspec_numpy.plan.method import Job
from cnnspec_numpy.plan.methods.merge import Concat
from cnnspec_numpy.plan.value import Layout, Value
from cnnspec_numpy.plan.weights import Prepared
from cnnspec_numpy.settings import with_plan_settings
from cnnspec_numpy.threads import Barrier, Team

LANE_SECONDS = 6e-5
"""Steps that are estimated to take less are not worth handing to another thread."""


@dataclass
class Step:
    """An operation or a conversion: its calls for each lane, and what a listing shows of it."""

    name: str
    kinds: str
    method: str
    layout: Layout
    shape: tuple[int, ...]
    seconds: float
    """Estimated, for all lanes together."""
    lanes: list[list[Call]] = field(default_factory=list)
    workspace: int = 0
    """Bytes of all lanes."""

    def run(self, team: Team | None = None) -> None:
        """Run the calls: the lanes at the same time on a team's threads, or one after the other."""
        if len(self.lanes) == 1 or team is None:
            for calls in self.lanes:
                for call in calls:
                    call()
        else:
            team.run([partial(_run_lane, calls) for calls in self.lanes])


@with_plan_settings
def _run_lane(calls: list[Call]) -> None:
    for call in calls:
        call()


@dataclass(frozen=True)
class Computation:
    """An operation by a method, with the values that it reads and the one that it makes."""

    choice: Choice
    inputs: list[Value]
    others: dict[str, Value]
    """What its stages add, by name."""
    y: Value
    lanes: int

    def workspace(self) -> dict[str, int]:
        """Return how many numbers of memory each lane needs, by name."""
        found = self.choice.method.workspace(self.choice.operation, self.y.n, self.lanes)
        if "spare" in found:
            found["spare"] *= spares(self.choice.operation)
        return found


@dataclass(frozen=True)
class Conversion:
    """A copy of a value in the other layout, or of a flattened image as a plain vector."""

    x: Value
    y: Value

    def call(self) -> Call:
        """Return the copy."""
        if self.x.image == self.y.image:
            return partial(np.copyto, nchw(self.y), nchw(self.x))
        # The features of a vector are in the order of [c, h, w].
        c, h, w = self.x.image
        target = self.y.inner
        if self.y.layout is Layout.CHANNELS_LAST:
            return partial(np.copyto, target.reshape(self.y.n, c, h, w), nchw(self.x))
        return partial(np.copyto, target.reshape(c, h, w, self.y.n).transpose(3, 0, 1, 2), nchw(self.x))


MOST_MEMORY = 1.1
"""What values may take before concatenations are copied, in parts of the least: each alive until its last reader."""


def _keeps_order(operation: Operation) -> bool:
    """Whether each number stays in its place, whatever the order of the features of a flattened image."""
    node = operation.node
    alone = node.layer.elementwise and len(node.inputs) == 1 and not node.parameters
    return alone and not any(stage.other or stage.node.parameters for stage in operation.stages)


class Plan:
    """The steps of a graph for `n` samples, and the memory that they work in. One thread at a time may run it."""

    def __init__(
        self, graph: Graph, choices: Sequence[Choice], n: int, prepared: Prepared, dtype: np.dtype[Any], lanes: int = 1
    ) -> None:
        self.graph = graph
        self.n = n
        self.lanes = lanes
        self.dtype = dtype
        self.constants = Constants(dtype)
        self._prepared = prepared
        most = MOST_MEMORY * peak_activation_bytes(graph, n, dtype.itemsize)
        copied: set[str] = set()
        while (excess := self._place(choices, copied, most)) is not None:
            copied.add(excess)
        self._allocate()
        self._bind()
        self._inputs = {name: nchw(self._values[name, self._layout_of[name]]) for name in graph.inputs}
        self._outputs = {name: nchw(value) for name, value in self._results.items()}

    # Values and steps

    def _place(self, choices: Sequence[Choice], copied: Set[str], most: float) -> str | None:
        """Make steps and values; return the largest value to be copied together, where they take more than `most`."""
        self.steps: list[Step] = []
        self._values: dict[tuple[str, Layout], Value] = {}
        self._layout_of: dict[str, Layout] = {}
        self._tasks: list[Computation | Conversion] = []
        for choice in choices:
            self._add(choice)
        self._results = {name: self._as_written(name) for name in self.graph.outputs}
        written = self._place_channels(copied)
        self._place_in_place()
        taken, step = peak(value.region for value in in_use(self._values.values(), self.dtype))
        alive = [y for y in written if y.root.region.first <= step <= y.root.region.last]
        return max(alive, key=lambda y: y.size).name if alive and taken > most else None

    def _add(self, choice: Choice) -> None:
        """Add the step of an operation, if it takes one, and its value."""
        operation = choice.operation
        if not operation.node.inputs:
            self._new(operation.name, choice.method.layout, operation.node.shape, operation.node.shape)
        elif is_view(operation.node):
            self._add_view(operation.node, choice.method.layout)
        else:
            self._add_computation(choice)
        self._layout_of[operation.name] = choice.method.layout

    def _add_view(self, node: Node, layout: Layout) -> None:
        """Add a value that lies in the memory of its input: a flattened image, or a range of channels."""
        selects = node.layer.selects_channels
        x = self._use(node.inputs[0], layout, flattened=not selects)
        channel: int = node.layer.channels[0] if selects else 0  # type: ignore[attr-defined]
        image = node.shape if selects else x.image
        self._values[node.name, layout] = Value(node.name, layout, node.shape, self.n, image, x, channel)

    def _add_computation(self, choice: Choice) -> None:
        """Add a step that computes a value from others."""
        operation, method, layout = choice.operation, choice.method, choice.method.layout
        keeps_order = _keeps_order(operation)
        flattened = keeps_order or method.takes_flattened
        inputs = [self._use(name, layout, flattened) for name in operation.node.inputs]
        others = {stage.other: self._use(stage.other, layout) for stage in operation.stages if stage.other is not None}
        shape = operation.last.shape
        y = self._new(operation.name, layout, shape, inputs[0].image if keeps_order else shape)
        border = method.border(operation)
        for x in inputs:
            x.ask_border(border)
        lanes = self.lanes if choice.seconds >= LANE_SECONDS else 1
        self._live(*inputs, *others.values(), y)
        self.steps.append(Step(y.name, operation.kinds, str(method), layout, y.inner_shape, choice.seconds))
        self._tasks.append(Computation(choice, inputs, others, y, lanes))

    def _live(self, *values: Value) -> None:
        """Keep the memory of values in use at the next step."""
        for value in values:
            value.root.region.extend(len(self.steps))

    def _new(self, name: str, layout: Layout, shape: tuple[int, ...], image: tuple[int, ...]) -> Value:
        value = Value(name, layout, shape, self.n, image)
        self._values[name, layout] = value
        return value

    def _use(self, name: str, layout: Layout, flattened: bool = False) -> Value:
        """Return a value in a layout, by a conversion where it is in another; plain unless `flattened` is allowed."""
        value = self._values.get((name, layout))
        if value is None:
            origin = self._values[name, self._layout_of[name]]
            value = self._converted(origin, layout, origin.image)
            self._values[name, layout] = value
        if not flattened and value.image != value.shape:
            plain = self._values.get((f"{name} as a vector", layout))
            value = plain or self._converted(value, layout, value.shape, f"{name} as a vector")
        return value

    def _converted(self, origin: Value, layout: Layout, image: tuple[int, ...], key: str | None = None) -> Value:
        value = Value(origin.name, layout, origin.shape, self.n, image)
        self._values[key or origin.name, layout] = value
        seconds = self.n * math.prod(origin.shape) * 1e-9
        self._live(origin, value)
        step = Step(value.name, "convert", f"from {origin.layout.value}", layout, value.inner_shape, seconds)
        self.steps.append(step)
        self._tasks.append(Conversion(origin, value))
        return value

    def _as_written(self, name: str) -> Value:
        value = self._values[name, self._layout_of[name]]
        self._live(value)
        return value

    # Memory

    def _place_channels(self, copied: Set[str]) -> list[Value]:
        """Let branches write into their range of a concatenation's channels, where nothing else decides their place.

        Exact: the concatenation holds its branches one after the other, and reads nothing else. Its memory is in use
        from the first branch on, which costs more than a copy where much else is alive then: those `copied` are left.
        """
        written = []
        for task in self._tasks:
            if isinstance(task, Conversion) or not isinstance(task.choice.method, Concat) or task.y.name in copied:
                continue
            inputs, y = task.inputs, task.y
            written.append(y)
            first = 0
            for x in inputs:
                alone = x.parent is None and inputs.count(x) == 1 and len(y.shape) == 3 and x.image == x.shape
                if alone and x.root is not y.root:
                    x.parent, x.channel = y, first
                    y.ask_border(x.border)
                    y.root.region.extend(x.region.first)
                    y.root.region.extend(x.region.last)
                first += x.image[0]
        return written

    def _place_in_place(self) -> None:
        """Let elementwise operations write over their input, where that is its last reader."""
        for index, task in enumerate(self._tasks):
            if isinstance(task, Conversion) or not task.choice.method.in_place:
                continue
            inputs, others, y = task.inputs, task.others, task.y
            x = inputs[0]
            free = x.parent is None and y.parent is None and not any(x.border) and not any(y.border)
            alone = not any(other.root is x for other in (*inputs[1:], *others.values()))
            if free and alone and x.region.last == index and x.image == y.image:
                y.parent = x
                x.region.extend(y.region.last)

    def _allocate(self) -> None:
        for name in self.graph.inputs:
            self._values[name, self._layout_of[name]].root.region.extend(-1)  # written before the first step
        self._arena = Arena(self._values.values(), self.dtype)
        self.value_bytes = self._arena.bytes

    def _bind(self) -> None:
        works = [task.workspace() if isinstance(task, Computation) else {} for task in self._tasks]
        for step, task, work in zip(self.steps, self._tasks, works, strict=True):
            lanes = task.lanes if isinstance(task, Computation) else 1
            step.workspace = lanes * sum(aligned(size * self.dtype.itemsize) for size in work.values())
        self.workspace_bytes = max((step.workspace for step in self.steps), default=0)
        memory = allocate(self.workspace_bytes)
        for index, (step, task, work) in enumerate(zip(self.steps, self._tasks, works, strict=True)):
            if isinstance(task, Conversion):
                step.lanes = [[task.call()]]
            else:
                step.lanes = [list(self._calls_of(task, memory, work, lane)) for lane in range(task.lanes)]
            step.lanes[0][:0] = self._arena.zeros.get(index, ())
            step.lanes = [[bound(call) for call in calls] for calls in step.lanes]
        self._parts = self._divided()
        self._calls = [call for step in self.steps for calls in step.lanes for call in calls]

    def _calls_of(self, task: Computation, memory: Array, work: dict[str, int], lane: int) -> Iterator[Call]:
        """Yield the calls of one lane of a computation, each lane in memory of its own."""
        operation = task.choice.operation
        arrays: dict[str, Array] = {}
        offset = 0
        for key, size in work.items():
            step = aligned(size * self.dtype.itemsize)
            arrays[key] = carve(memory, offset + lane * step, (size,), self.dtype)
            offset += step * task.lanes
        has_bias = "bias" in operation.node.parameters and operation.node.layer.folds_affine
        finish = Finish(operation, task.y, task.others, self._prepared.vector, self.constants, has_bias)
        prepared = partial(self._prepared.get, operation.node)
        job = Job(operation, task.inputs, task.y, finish, prepared, arrays.__getitem__, lane, task.lanes)
        yield from task.choice.method.calls(job)

    # Running

    def load(self, inputs: Mapping[str, Array]) -> None:
        """Copy inputs [n, c, h, w] into the plan."""
        for call in self._arena.zeros.get(-1, ()):
            call()
        for name, x in inputs.items():
            np.copyto(self._inputs[name], x)

    def store(self, outputs: Mapping[str, Array]) -> None:
        """Copy the outputs to arrays [n, ...]."""
        for name, value in self._outputs.items():
            y = outputs[name]
            np.copyto(y if y.shape == value.shape else y.reshape(value.shape), value)

    def run(self, team: Team | None = None) -> None:
        """Run every step, on a team's threads where its lanes are several."""
        if team is not None:
            barrier = Barrier(self.lanes)
            team.run([partial(self._run_lane, lane, barrier) for lane in range(self.lanes)], barrier.abort)
        else:
            for call in self._calls:
                call()

    @with_plan_settings
    def _run_lane(self, lane: int, barrier: Barrier) -> None:
        """Run a lane's part of all steps; it waits for the others where a step has several lanes, or the one before."""
        try:
            for calls in self._parts[lane]:
                for call in calls:
                    call()
                barrier.wait(lane)
        except BaseException:
            barrier.abort()
            raise

    def _divided(self) -> list[list[list[Call]]]:
        """Return the calls of each lane, in parts between which the lanes wait for each other."""
        parts: list[list[list[Call]]] = [[] for _ in range(self.lanes)]
        alone = False
        for step in self.steps:
            joins = alone and len(step.lanes) == 1
            for lane in range(self.lanes):
                calls = step.lanes[lane] if lane < len(step.lanes) else []
                if joins:
                    parts[lane][-1] += calls
                else:
                    parts[lane].append(list(calls))
            alone = len(step.lanes) == 1
        return parts
