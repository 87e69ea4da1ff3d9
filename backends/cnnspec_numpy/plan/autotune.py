"""Methods chosen by timed runs, which are kept in the user's cache folder, instead of by estimates.

An operation is timed by itself, with its stages, in a plan of its own. The least of a few runs is taken: what else
the machine does can only add to it. Times are kept by everything that they depend on, so that networks share those of
equal operations.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cnnspec import atomic
from cnnspec.arrays import Array
from cnnspec.graph.graph import Graph, Node
from cnnspec.layers import Shape
from cnnspec.layers.input import InputLayer
from cnnspec.machine import cache_folder, describe_machine
from cnnspec.version import __version__
from cnnspec_numpy.plan.choice import LAYOUTS, NOTHING, Choice, choose, conversion_cost, estimated
from cnnspec_numpy.plan.lower import Operation
from cnnspec_numpy.plan.method import Method
from cnnspec_numpy.plan.plan import Plan
from cnnspec_numpy.plan.value import shape_in, to_nchw
from cnnspec_numpy.plan.weights import Prepared
from cnnspec_numpy.settings import with_plan_settings
from cnnspec_numpy.threads import one_blas_thread

FILE = "numpy-methods.json"
"""In the cache folder: {machine and versions: {operation, samples and method: seconds}}."""
RUNS = 7
SECONDS = 4e-3
"""No further run is begun when the runs took so much time, after the third."""
LARGE = 1 << 18
"""Bytes of weights from which on a run finds them in main memory, as it does in a network whose weights exceed the
cache; smaller ones stay in the cache from one batch to the next."""
CACHE_BYTES = 1 << 25
"""Writing so much displaces what was in the cache."""

Times = dict[str, dict[str, float]]


class Autotuner:
    """Timed runs of methods in one data type. Threads may share it: one of them measures at a time."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.file = cache_folder() / FILE
        about = describe_machine()
        self.machine = f"{about['cpu']} {about['instructions']}; numpy {np.__version__}; cnnspec {__version__}; {dtype}"
        self._times = read(self.file).get(self.machine, {})
        self._new: dict[str, float] = {}
        self._lock = threading.Lock()

    @with_plan_settings
    def choose(self, graph: Graph, operations: list[Operation], n: int, fast: bool) -> list[Choice]:
        """Return a method for each operation of a graph for n samples, and write new times to the cache folder.

        By itself an operation finds its inputs in the cache and writes to memory without a border; so the plan of the
        fastest methods is timed as a whole, beside that of the estimates, and the faster of the two is returned.
        """
        with self._lock, one_blas_thread():
            plans = [
                choose(operations, n, fast, self.method_seconds, self.conversion_seconds),
                choose(operations, n, fast, estimated, conversion_cost),
            ]
            found = min(plans, key=lambda choices: self.plan_seconds(graph, choices, n))
            self._save()
            _other_memory.cache_clear()
        return found

    def method_seconds(self, operation: Operation, method: Method, n: int) -> float:
        """Return the seconds of a method for n samples: those in the cache, or else measured."""
        key = f"{described(operation)}; {n} samples; {method}, {method.layout.value}"
        return self._cached(key, lambda: least_time(*calls_of(*alone(operation, method), n, self.dtype)))

    def conversion_seconds(self, operation: Operation, n: int) -> float:
        """Return the seconds to bring the output from one layout to the other, there and back halved."""
        shape = operation.last.shape
        key = f"conversion of {list(shape)}; {n} samples"
        return self._cached(key, lambda: least_time(conversions_of(shape, n, self.dtype))) / 2

    def plan_seconds(self, graph: Graph, choices: list[Choice], n: int) -> float:
        """Return the seconds of the plan of all choices for n samples."""
        steps = [(described(c.operation), c.operation.inputs, str(c.method), c.method.layout.value) for c in choices]
        key = f"plan {hashlib.sha256(repr(steps).encode()).hexdigest()}; {n} samples"
        return self._cached(key, lambda: least_time(calls_of(graph, choices, n, self.dtype)[0]))

    def _cached(self, key: str, measure: Callable[[], float]) -> float:
        if key not in self._times:
            self._times[key] = self._new[key] = measure()
        return self._times[key]

    def _save(self) -> None:
        """Add the new times to those in the file, which another process may have written meanwhile.

        Where both write at once, one of them measures some methods again another time: the file is always whole.
        """
        if not self._new:
            return
        times = read(self.file)
        times.setdefault(self.machine, {}).update(self._new)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self.file, json.dumps(times, indent=0).encode())
        except OSError:
            return  # a folder that cannot be written: these times live as long as the model
        self._new = {}


def read(file: Path) -> Times:
    """Return the times in a file; nothing where it is missing, or is not what this module writes."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        machine: {key: float(seconds) for key, seconds in times.items() if _is_time(seconds)}
        for machine, times in content.items()
        if isinstance(times, dict)
    }


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def least_time(call: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
    """Return the least seconds of a few calls, each after a call of `before`, which is not timed."""
    times: list[float] = []
    while len(times) < 3 or (len(times) < RUNS and sum(times) < SECONDS):
        before()
        begin = perf_counter()
        call()
        times.append(perf_counter() - begin)
    return max(min(times), 1e-9)  # a clock may be too coarse to see a call


def described(operation: Operation) -> str:
    """Return what the time of an operation depends on, beside the method: equal texts are equal work."""
    return " + ".join(map(_described, _nodes(operation)))


def _nodes(operation: Operation) -> list[Node]:
    pool = [operation.pool] if operation.pool is not None else []
    return [operation.node, *pool, *(stage.node for stage in operation.stages)]


def _described(node: Node) -> str:
    """Return a layer with its settings, shapes and windows; numbers that a spec carries as weights are left out."""
    settings = {name: value for name, value in node.layer if isinstance(value, bool | int | float | str)}
    arrays = {key: list(parameter.shape) for key, parameter in node.parameters.items()}
    parts = [node.kind, *(f"{name}={value}" for name, value in settings.items())]
    parts += [f"{key}{shape}" for key, shape in arrays.items()]
    parts += ["×".join(str(list(shape)) for shape in node.in_shapes), "→", str(list(node.shape))]
    parts += [f"window{list(window)}" for window in node.windows]
    # One branch that is read twice is less memory than two.
    return " ".join(parts) + (" of one input" if len(set(node.inputs)) < len(node.inputs) else "")


def alone(operation: Operation, method: Method) -> tuple[Graph, list[Choice]]:
    """Return an operation by itself as a graph, whose inputs are in the method's layout."""
    nodes = _nodes(operation)
    made = {node.name for node in nodes}
    reads = [pair for node in nodes for pair in zip(node.inputs, node.in_shapes, strict=True)]
    inputs = [Node(name, InputLayer(), (), (), shape) for name, shape in dict(reads).items() if name not in made]
    graph = Graph("operation", (*inputs, *nodes), tuple(node.name for node in inputs), (operation.name,))
    views = [Choice(Operation(node), NOTHING[method.layout], 0.0) for node in inputs]
    return graph, [*views, Choice(operation, method, 0.0)]


def calls_of(
    graph: Graph, choices: list[Choice], n: int, dtype: np.dtype[Any]
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a call that runs a plan of the choices, and one that brings the cache to the state before an operation.

    In a network an operation finds its inputs in the cache, and large weights in main memory.
    """
    prepared = Prepared(_weights(graph), dtype)
    plan = Plan(graph, choices, n, prepared, dtype)
    x = {name: _random((n, *graph.by_name[name].shape), dtype) for name in graph.inputs}

    plan.load(x)

    def before() -> None:
        if prepared.size > LARGE:
            _displace()
        plan.load(x)

    return plan.run, before


@cache
def _other_memory() -> Array:
    return np.zeros(CACHE_BYTES, np.uint8)


def _displace() -> None:
    """Displace what was in the processor's cache."""
    memory = _other_memory()
    np.add(memory, 1, out=memory)


def _weights(graph: Graph) -> Callable[[str], Array]:
    """Return a function from names to weights, such that values keep their size: very small ones would take longer."""
    shapes = {name: parameter.shape for name, parameter in graph.parameters.items()}
    return lambda name: np.broadcast_to(np.float64(1 / math.prod(shapes[name][1:])), shapes[name])


def conversions_of(shape: Shape, n: int, dtype: np.dtype[Any]) -> Callable[[], None]:
    """Return a call that converts a value from one layout to the other, and back."""
    first, second = (to_nchw(layout, _random(shape_in(layout, shape, n), dtype)) for layout in LAYOUTS)

    def call() -> None:
        np.copyto(second, first)
        np.copyto(first, second)

    return call


def _random(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return numbers without zeros, which some processors multiply faster."""
    period = np.random.default_rng(0).standard_normal(1009)
    return np.resize(period, math.prod(shape)).astype(dtype).reshape(shape)
