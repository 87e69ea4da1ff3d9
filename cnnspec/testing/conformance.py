"""A backend against the definitions: shapes, values, gradients, a step of training, and its weights in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from cnnspec.runtime import backend
from cnnspec.runtime.backend import Backend
from cnnspec.runtime.model import Model
from cnnspec.testing import reference
from cnnspec.testing.case import Case
from cnnspec.testing.cases import CASES
from cnnspec.testing.definitions import Array

DTYPES = ("float64", "float32")

RELATIVE = {"float64": 1e-9, "float32": 1e-4}
"""How far a value may be from the definition's, as a share of it."""
ROUNDINGS = 64
"""And beside that, in units of the format's rounding of the largest value: what a sum loses where it nearly cancels."""

GRADIENT = 1e-6
"""How far a float64 gradient may be from the central difference, as a share of the largest in its array.

Of numbers near one the difference is good to about 1e-9: H² = 1e-10 times a third derivative, and the rounding
1e-16 of a sum of some tens, over H = 1e-5. The bound leaves room for steep functions, and is far below any error
of a formula."""
GRADIENT_NOISE = 1e-8
"""And beside that: what is left of a gradient that is zero."""


@dataclass(frozen=True)
class Failure:
    """Where a backend departs from the definition: in which case, at which node or array, in what and by how much."""

    case: str
    dtype: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.case} ({self.dtype}): `{self.where}` {self.what}"


def check_backend(
    name: str, cases: Sequence[Case] = CASES, dtypes: Sequence[str] = DTYPES, device: str = "cpu"
) -> list[Failure]:
    """Everything in which an installed backend departs from the definitions; an exception counts as such."""
    failures: list[Failure] = []
    for case in cases:
        try:
            failures += check_case(name, case, dtypes, device)
        except Exception as error:
            failures.append(Failure(case.name, "/".join(dtypes), case.kind, f"raises {type(error).__name__}: {error}"))
    return failures


def check_case(name: str, case: Case, dtypes: Sequence[str] = DTYPES, device: str = "cpu") -> list[Failure]:
    """As `check_backend`, for one case; an exception of the backend comes through."""
    found = backend.find(name)
    return [failure for dtype in dtypes for failure in _check(found, case, dtype, device)]


def _check(found: Backend, case: Case, dtype: str, device: str) -> Iterator[Failure]:
    def failures(faults: Iterable[tuple[str, str]]) -> Iterator[Failure]:
        return (Failure(case.name, dtype, where, what) for where, what in faults)

    def prepare() -> Model:
        return found.prepare(case.graph(), case.weights(), device=device, dtype=dtype)

    model = prepare()
    yield from failures(_values(model, case))
    if dtype == "float64":
        yield from failures(_gradients(model, case))
    if case.train:
        yield from failures(_training(prepare(), case))
    yield from failures(_weights(model, prepare(), case))


# What is compared; each yields (where, what is wrong there)

Faults = Iterator[tuple[str, str]]


def _values(model: Model, case: Case) -> Faults:
    """Every node's shape as predicted and values as defined; the output is that of the last."""
    graph, x = case.graph(), case.x()
    traced, expected = model.trace(x), _expected(case)
    if list(traced) != list(expected):
        yield case.name, f"traces {list(traced)}, and the nodes are {list(expected)}"
        return
    for node in graph.nodes:
        predicted = (len(x), *node.shape)
        if traced[node.name].shape != predicted:
            yield node.name, f"has the shape {traced[node.name].shape}, and {predicted} was predicted"
        else:
            yield from _differ(node.name, traced[node.name], expected[node.name], model.dtype)
    y = model.predict(x)
    if y.shape == (len(x), *graph.output.shape):
        yield from _differ("predict", y, expected[graph.output.name], model.dtype)
    else:
        yield "predict", f"has the shape {y.shape}"
    if y.dtype != model.array_dtype:
        yield "predict", f"gives {y.dtype}, and the model computes in {model.dtype}"


def _weights(model: Model, other: Model, case: Case) -> Faults:
    """The state is the weights that were given, a copy, and moves from one model to another."""
    given = case.weights()
    if set(model.state()) != set(given):
        yield "state", f"has {sorted(model.state())}, and the parameters are {sorted(given)}"
        return
    for name, array in model.state().items():
        if array.shape != given[name].shape or not np.array_equal(array, given[name]):
            yield name, "is not as it was given"
        array[...] = np.nan
    if any(np.isnan(array).any() for array in model.state().values()):
        yield "state", "is no copy: to write to it changes the model"
        return
    other.load(case.weights(seed=1))
    for name, array in other.state().items():
        if not np.array_equal(array, case.weights(seed=1)[name]):
            yield name, "is not as it was loaded"
    other.load(given)
    if not np.array_equal(other.predict(case.x()), model.predict(case.x())):
        yield "load", "does not bring back the same output"


def _gradients(model: Model, case: Case) -> Faults:
    """The vector-Jacobian product is the central difference."""
    dx, gradients = model.vjp(case.x(), case.dy())
    expected_dx, expected = _expected_gradients(case)
    yield from _gradients_differ({"dx": dx, **gradients}, {"dx": expected_dx, **expected})


def _training(model: Model, case: Case) -> Faults:
    """The loss, its gradients, and what a step leaves, its output and the running statistics, are as defined."""
    x, target = case.x(), case.target()
    train = case.loaded().train
    assert train is not None
    model.begin_training(train, 1)
    expected_loss, expected, y, statistics = _expected_training(case)
    loss, gradients = model.loss_and_gradients(x, target)
    yield from _differ("loss", np.asarray(loss), np.asarray(expected_loss), model.dtype)
    if model.dtype == "float64":
        yield from _gradients_differ(gradients, expected)
    before = model.state()
    for name, array in case.weights().items():
        if not np.array_equal(before[name], array):
            yield name, "was changed by `loss_and_gradients`"
    yield from _differ("step", np.asarray(model.step(x, target)), np.asarray(expected_loss), model.dtype)
    yield from _differ("outputs", model.outputs, y, model.dtype)
    after = model.state()
    for name, array in statistics.items():
        yield from _differ(name, after[name], array, model.dtype)


# What is expected, worked out once for all backends


@cache
def _expected(case: Case) -> reference.Arrays:
    return reference.run(case.graph(), case.weights(), case.x())


@cache
def _expected_gradients(case: Case) -> tuple[Array, reference.Arrays]:
    return reference.gradients(case.graph(), case.weights(), case.x(), case.dy())


@cache
def _expected_training(case: Case) -> tuple[float, reference.Arrays, Array, reference.Arrays]:
    graph, train = case.graph(), case.loaded().train
    assert train is not None
    loss, gradients = reference.loss_and_gradients(graph, case.weights(), case.x(), case.target(), train)
    values, statistics = reference.run_training(graph, case.weights(), case.x(), train.seed, 0)
    return loss, gradients, values[graph.output.name], statistics


# How


def _differ(where: str, found: npt.NDArray[np.floating], expected: Array, dtype: str) -> Faults:
    """Values that are further apart than the format accounts for."""
    rounding = ROUNDINGS * np.finfo(dtype).eps * np.abs(expected).max()
    yield from _beyond(where, found, expected, RELATIVE[dtype] * np.abs(expected) + rounding)


def _gradients_differ(found: reference.Arrays, expected: reference.Arrays) -> Faults:
    if set(found) != set(expected):
        yield "gradients", f"are of {sorted(found)}, and the trainable parameters are {sorted(expected)}"
        return
    for name, array in expected.items():
        if found[name].shape != array.shape:
            yield name, f"has a gradient of the shape {found[name].shape}, not {array.shape}"
            continue
        sampled = ~np.isnan(array)
        bound = np.full(sampled.sum(), GRADIENT * np.abs(array[sampled]).max() + GRADIENT_NOISE)
        yield from _beyond(f"gradient of {name}", found[name][sampled], array[sampled], bound)


def _beyond(where: str, found: npt.NDArray[np.floating], expected: Array, bound: Array) -> Faults:
    off = np.abs(found - expected)
    wrong = ~(off <= bound)  # a NaN is wrong too
    if wrong.any():
        at = int(np.argmax(np.where(wrong, np.nan_to_num(off / bound, nan=np.inf), 0)))
        yield (
            where,
            f"differs in {wrong.sum()} of {wrong.size} numbers, most of all {found.flat[at]:.17g} "
            f"for {expected.flat[at]:.17g}: by {off.flat[at]:.3g}, and {bound.flat[at]:.3g} is allowed",
        )
