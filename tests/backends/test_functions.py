"""What the conformance table cannot show of functions, merges and drops: ties, limits, masks; both backends alike."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
import pytest

import cnnspec
from cnnspec.graph.graph import Graph
from cnnspec.graph.training import MeanSquaredError, Train
from cnnspec.runtime import backend as backends
from cnnspec.runtime.model import Model

Array = npt.NDArray[np.floating]

on_every_backend = pytest.mark.parametrize("name", ["numpy", *(["torch"] if find_spec("torch") else [])])


def network(input: str, *layers: str) -> Graph:
    lines = "\n".join(f"  - {layer}" for layer in layers)
    return cnnspec.loads(f"input: {input}\nlayers:\n{lines}\n").graph


def prepare(name: str, graph: Graph) -> Model:
    weights = {key: np.ones(parameter.shape) for key, parameter in graph.parameters.items()}
    return backends.find(name).prepare(graph, weights, device="cpu", dtype="float64")


def gradient(name: str, layer: str, numbers: list[float]) -> list[float]:
    x = np.array([numbers])
    dx, _ = prepare(name, network(f"[{len(numbers)}]", layer)).vjp(x, np.ones_like(x))
    return list(dx[0])


@on_every_backend
@pytest.mark.parametrize("kind", ["maximum", "minimum"])
def test_equal_branches_get_half_of_the_gradient_each(name: str, kind: str) -> None:
    both = gradient(name, f"{kind}: {{a: [scale: {{value: 3, learn: false}}], b: []}}", [0.0])
    assert both == [2.0]  # 3 / 2 + 1 / 2


@on_every_backend
@pytest.mark.parametrize(
    ("layer", "numbers", "expected"),
    [
        ("clip: {min: -1, max: 2}", [-2, -1, 0, 2, 3], [0, 0, 1, 0, 0]),
        ("clip: {min: 1}", [0, 1, 2], [0, 0, 1]),
        ("clip: {max: 1}", [0, 1, 2], [1, 0, 0]),
        ("hard_tanh", [-2, -1, 0, 1, 2], [0, 0, 1, 0, 0]),
        ("hard_sigmoid: {slope: 0.5, offset: 0.5}", [-2, -1, 0, 1, 2], [0, 0, 0.5, 0, 0]),
        ("thresholded_relu: 2", [1, 2, 3], [0, 0, 1]),
        ("abs", [-2, 0, 2], [-1, 0, 1]),
    ],
)
def test_at_the_limits_the_gradient_is_zero(name: str, layer: str, numbers: list[float], expected: list[float]) -> None:
    assert gradient(name, layer, numbers) == expected


@on_every_backend
@pytest.mark.parametrize("layer", ["log", "sqrt", "power: 0.5"])
def test_an_invalid_number_stays_in_the_maximum_of_its_window(name: str, layer: str) -> None:
    """The pool is not taken before the function, and nothing warns."""
    model = prepare(name, network("[1, 2, 2]", layer, "max_pool: 2"))
    assert np.isnan(model.predict(np.array([[[[4.0, 1.0], [9.0, -1.0]]]]))).all()


@on_every_backend
@pytest.mark.parametrize(("layer", "alike"), [("spatial_dropout: 0.5", (2, 3)), ("stochastic_depth: 0.5", (1, 2, 3))])
def test_what_is_dropped_together(name: str, layer: str, alike: tuple[int, ...]) -> None:
    graph = network("[6, 4, 4]", layer)
    model = prepare(name, graph)
    x = np.ones((32, 6, 4, 4))
    model.begin_training(Train(loss=MeanSquaredError(), seed=1), 2)
    model.step(x, x)
    y = model.outputs
    np.testing.assert_array_equal(y, np.broadcast_to(y.mean(alike, keepdims=True), y.shape))
    kept = (y.mean(alike) == 2).mean()
    assert set(np.unique(y)) == {0, 2}
    assert 0.25 < kept < 0.75
    np.testing.assert_array_equal(model.predict(x), x)
