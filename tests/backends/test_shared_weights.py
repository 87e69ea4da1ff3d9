"""Two towers with one set of weights: values, gradients and a training step are those of the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.graph.training import Train
from cnnspec.runtime import backend
from cnnspec.runtime.model import Model
from cnnspec.testing import reference
from cnnspec.testing.verification import verify

SIAMESE = """
name: siamese
input: [4, 7, 6]
train: {loss: cross_entropy, optimizer: {sgd: {learning_rate: 0.3, momentum: 0.5}}, seed: 4}
blocks:
  tower:
    params: {c: int}
    layers:
      - conv: {channels: $c, kernel: 3, padding: same, norm: batch_norm, activation: prelu}
      - max_pool: 2
      - conv: {channels: $c, kernel: 2, activation: tanh}
      - add: {main: [conv: {name: one, channels: $c, kernel: 1}], skip: [conv: {channels: $c, kernel: 1, share: one}]}
layers:
  - concat:
      left: [slice: [0, 2], tower: {name: left, c: 3}]
      right: [slice: [2, 4], tower: {name: right, c: 3, share: left}]
  - flatten
  - dense: 5
"""

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("numpy", {"numerics": "strict"}),
    *(("numpy", {"threads": threads}) for threads in (1, 2, 3)),
    ("torch", {}),
]
N = 7


def given() -> tuple[cnnspec.Spec, Arrays, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    spec = cnnspec.loads(SIAMESE)
    rng = np.random.default_rng(3)
    weights = {
        name: rng.uniform(0.5, 1.5, p.shape) if p.fill is not None else rng.normal(size=p.shape) / 2
        for name, p in spec.graph.parameters.items()
    }
    return spec, weights, rng.normal(size=(N, 4, 7, 6)), rng.integers(5, size=N)


def prepare(name: str, options: dict[str, Any]) -> tuple[Model, Train]:
    spec, weights, _, _ = given()
    model = backend.find(name).prepare(spec.graph, weights, device="cpu", dtype="float64", **options)
    assert spec.train is not None
    model.begin_training(spec.train, 1)
    return model, spec.train


def assert_close(found: Arrays, expected: Arrays, tolerance: float) -> None:
    """Compare the elements that the definition has computed (of gradients, a sample)."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        known = ~np.isnan(array)
        np.testing.assert_allclose(found[name][known], array[known], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_values_and_gradients(name: str, options: dict[str, Any]) -> None:
    spec, weights, x, _ = given()
    model, _ = prepare(name, options)
    y = reference.run(spec.graph, weights, x)[spec.graph.output.name]
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-9, atol=1e-9)
    dy = np.random.default_rng(5).normal(size=y.shape)
    dx, gradients = model.vjp(x, dy)
    expected_dx, expected = reference.gradients(spec.graph, weights, x, dy)
    assert_close({"x": dx}, {"x": expected_dx}, 1e-6)
    assert_close(gradients, expected, 1e-6)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_training_step(name: str, options: dict[str, Any]) -> None:
    spec, weights, x, target = given()
    model, train = prepare(name, options)
    loss, gradients = model.loss_and_gradients(x, target)
    expected_loss, expected = reference.loss_and_gradients(spec.graph, weights, x, target, train)
    assert abs(loss - expected_loss) < 1e-9
    assert_close(gradients, expected, 1e-6)

    model, _ = prepare(name, options)
    model.step(x, target)
    _, statistics = reference.run_training(spec.graph, weights, x, train.seed, 0)
    assert statistics.keys() == {"left.batch_norm1.running_mean", "left.batch_norm1.running_var"}
    stepped = {key: weights[key] - 0.3 * gradient for key, gradient in gradients.items()}
    assert_close(model.state(), {**stepped, **statistics}, 1e-9)


def test_the_backends_agree_layer_by_layer() -> None:
    comparisons = verify(cnnspec.loads(SIAMESE).graph, ["numpy", "torch"], batch=3)
    assert [comparison.first_mismatch for comparison in comparisons] == [None] * len(comparisons)
