"""Comparison of a backend with the definitions: shapes, values, gradients, a training step, loading and saving."""

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
"""The tolerance of values, relative to the definition's."""
ROUNDINGS = 64
"""The tolerance of values in addition, in roundings of the largest value, for sums that nearly cancel."""

GRADIENT = 1e-6
"""The tolerance of float64 gradients against central differences, relative to the largest in the array.

For numbers near one the error of the difference is about 1e-9: H² = 1e-10 times a third derivative, and the rounding
error 1e-16 of a sum of some tens, divided by H = 1e-5. The tolerance leaves room for steep functions, and is far below
the effect of a wrong formula."""
GRADIENT_NOISE = 1e-8
"""The tolerance of gradients in addition, for those that are zero."""


@dataclass(frozen=True)
class Failure:
    """A difference of a backend from a definition: the case, the data type, the node or array, and a description."""

    case: str
    dtype: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.case} ({self.dtype}): `{self.where}` {self.what}"


def check_backend(
    name: str, cases: Sequence[Case] = CASES, dtypes: Sequence[str] = DTYPES, device: str = "cpu"
) -> list[Failure]:
    """Return every difference of an installed backend from the definitions; an exception counts as a difference."""
    failures: list[Failure] = []
    for case in cases:
        try:
            failures += check_case(name, case, dtypes, device)
        except Exception as error:
            failures.append(Failure(case.name, "/".join(dtypes), case.kind, f"raises {type(error).__name__}: {error}"))
    return failures


def check_case(name: str, case: Case, dtypes: Sequence[str] = DTYPES, device: str = "cpu") -> list[Failure]:
    """Return what `check_backend` does for one case; an exception of the backend is raised."""
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


# The comparisons; each yields (node or array, description of the difference)

Faults = Iterator[tuple[str, str]]


def _values(model: Model, case: Case) -> Faults:
    """Compare the shape of every node with the predicted one, and its values with the definition."""
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
    """Compare the state with the given weights; it must be a copy, and load into another model."""
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
    """Compare the vector-Jacobian product with central differences."""
    dx, gradients = model.vjp(case.x(), case.dy())
    expected_dx, expected = _expected_gradients(case)
    yield from _gradients_differ({"dx": dx, **gradients}, {"dx": expected_dx, **expected})


def _training(model: Model, case: Case) -> Faults:
    """Compare the loss, its gradients, and after a step the output and the running statistics with the definition."""
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


# The expected values, computed once for all backends


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


# Tolerances


def _differ(where: str, found: npt.NDArray[np.floating], expected: Array, dtype: str) -> Faults:
    """Yield a fault where values differ by more than the rounding of the data type."""
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
