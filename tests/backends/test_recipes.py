"""Recipes of training: both backends make the same steps, which are those of the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.graph.training import Train
from cnnspec.language.train import train_settings
from cnnspec.runtime.model import Model

NETWORK = """
input: [2, 8, 8]
layers:
  - conv: {channels: 6, kernel: 3, padding: same, norm: batch_norm, activation: tanh}
  - max_pool: 2
  - conv: {channels: 6, kernel: 3, activation: gelu}
  - dropout: 0.2
  - flatten
  - dense: 4
"""
MAP = "input: [2, 6, 6]\nlayers: [conv: {channels: 5, kernel: 3, padding: same}, tanh, conv: {channels: C, kernel: 1}]"
STEPS = 20
N = 12

RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": {"sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}}},
    "adam": {"optimizer": {"adam": {"learning_rate": 0.01, "weight_decay": 0.01}}},
    "adamw": {"optimizer": {"adamw": {"learning_rate": 0.01, "weight_decay": 0.1, "decays": "weights"}}},
    "rmsprop": {"optimizer": {"rmsprop": {"learning_rate": 0.003, "weight_decay": 0.01}}},
    "rmsprop-momentum": {"optimizer": {"rmsprop": {"learning_rate": 0.001, "momentum": 0.9}}},
    "lion": {"optimizer": {"lion": {"learning_rate": 0.001, "weight_decay": 0.1}}},
    "lamb": {"optimizer": {"lamb": {"learning_rate": 0.01, "weight_decay": 0.1}}},
    "lamb-weights": {"optimizer": {"lamb": {"learning_rate": 0.01, "weight_decay": 0.1, "decays": "weights"}}},
    "milestones": {"optimizer": {"sgd": 0.1}, "schedule": {"milestones": [1, 3]}},
    "one_cycle": {"optimizer": {"sgd": 0.1}, "schedule": {"one_cycle": {"peak": 0.4, "warmup": 0.2}}},
    "clip norm": {"optimizer": {"sgd": 0.1}, "clip": 0.1},
    "clip value": {"optimizer": {"sgd": 0.1}, "clip": {"value": 0.01, "norm": 1.0}},
    "ema": {"optimizer": {"sgd": 0.1}, "ema": 0.9},
    "class weights": {"loss": {"cross_entropy": {"class_weights": [1, 2, 0.5, 0], "label_smoothing": 0.1}}},
    "accumulate": {"optimizer": {"adam": 0.01}, "accumulate": 3},
}  # fmt: skip

MAPS: dict[str, tuple[int, Any]] = {
    "cross_entropy": (3, {"cross_entropy": {"ignore": 2, "class_weights": [1, 3, 1]}}),
    "dice": (3, {"dice": {"ignore": 2}}),
    "dice of one channel": (1, "dice"),
    "binary_cross_entropy": (2, {"binary_cross_entropy": [2, 1]}),
    "mean_squared_error": (2, "mean_squared_error"),
    "l1": (2, "l1"),
    "huber": (2, {"huber": 0.5}),
}


def prepared(text: str, backend: str, settings: dict[str, Any], dtype: str = "float64") -> Model:
    model = cnnspec.build(cnnspec.loads(text), backend=backend, dtype=dtype)
    model.begin_training(train_settings({"seed": 3, "epochs": 5} | settings), 4)
    return model


def batch(model: Model, step: int, n: int = N) -> tuple[Array, Array]:
    """Return inputs and targets that fit the loss."""
    rng = np.random.default_rng(step)
    shape = model.graph.output.shape
    loss = next(iter(model.losses.values()))
    x = rng.normal(size=(n, *model.graph.input.shape))
    if loss.targets == "classes":
        return x, rng.integers(0, loss.classes(shape), (n, *loss.target_shape(shape)))
    if loss.targets == "labels":
        return x, rng.integers(0, 2, (n, *shape)).astype(float)
    return x, rng.normal(size=(n, *shape))


def trained(model: Model, steps: int = STEPS, parts: int | None = None) -> tuple[list[float], Arrays]:
    """Return the losses of some steps, and all arrays afterwards, those of the optimizer included."""
    parts = parts or model.train.accumulate
    losses = [model.step(*batch(model, step), parts) for step in range(steps)]
    return losses, model.state() | model.training_state()


def assert_equal(found: tuple[list[float], Arrays], expected: tuple[list[float], Arrays], tolerance: float) -> None:
    np.testing.assert_allclose(found[0], expected[0], tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        largest = float(np.abs(array).max(initial=0)) or 1.0
        np.testing.assert_allclose(found[1][name], array, 0, tolerance * largest, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("name", RECIPES)
def test_both_backends_make_the_same_steps(name: str, dtype: str, tolerance: float) -> None:
    numpy, torch_ = (prepared(NETWORK, backend, RECIPES[name], dtype) for backend in ("numpy", "torch"))
    # Where rounding turns the sign of a number near zero, lion makes a step in the other direction.
    steps = 3 if (name, dtype) == ("lion", "float32") else STEPS
    assert_equal(trained(numpy, steps), trained(torch_, steps), tolerance)


@pytest.mark.parametrize("loss", MAPS)
def test_losses_of_maps(loss: str) -> None:
    channels, written = MAPS[loss]
    text = MAP.replace("C", str(channels))
    models = [prepared(text, backend, {"loss": written, "optimizer": {"sgd": 0.1}}) for backend in ("numpy", "torch")]
    assert_equal(trained(models[0]), trained(models[1]), 1e-10)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("loss", MAPS)
def test_a_batch_in_parts_is_the_batch(backend: str, loss: str) -> None:
    """Ignored and weighted classes too, of which the parts have different numbers."""
    channels, written = MAPS[loss]
    text = MAP.replace("C", str(channels)).replace("tanh", "tanh, dropout: 0.3")
    settings = {"loss": written, "optimizer": {"sgd": 0.1}}
    whole, parts = prepared(text, backend, settings), prepared(text, backend, settings)
    assert_equal(trained(parts, 3, parts=5), trained(whole, 3), 1e-12)
    np.testing.assert_allclose(parts.outputs, whole.outputs, 1e-10)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_batch_statistics_are_those_of_a_part(backend: str) -> None:
    model, other = (prepared(NETWORK, backend, {"optimizer": {"sgd": 1e-9}}) for _ in range(2))
    x, target = batch(model, 0)
    model.step(x, target, parts=2)
    for half in (slice(None, N // 2), slice(N // 2, None)):
        other.step(x[half], target[half])
    for name, array in other.state().items():
        if "running" in name:
            np.testing.assert_allclose(model.state()[name], array, 1e-7)


class Reference:
    """One array that is updated by the formulas of the papers."""

    def __init__(self, w: Array) -> None:
        self.w, self.m, self.v = w.copy(), np.zeros_like(w), np.zeros_like(w)

    def lion(self, g: Array, rate: float, decay: float, t: int) -> None:
        """Chen et al. 2023, algorithm 2."""
        c = 0.9 * self.m + 0.1 * g
        self.w -= rate * (np.sign(c) + decay * self.w)
        self.m = 0.99 * self.m + 0.01 * g

    def lamb(self, g: Array, rate: float, decay: float, t: int) -> None:
        """You et al. 2019, algorithm 2, with φ(x) = x."""
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        r = (self.m / (1 - 0.9**t)) / (np.sqrt(self.v / (1 - 0.999**t)) + 1e-6)
        u = r + decay * self.w
        self.w -= rate * np.linalg.norm(self.w) / np.linalg.norm(u) * u


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("kind", "update"), [("lion", Reference.lion), ("lamb", Reference.lamb)])
def test_optimizers_by_the_formulas_of_their_papers(
    backend: str, kind: str, update: Callable[[Reference, Array, float, float, int], None]
) -> None:
    settings = {"optimizer": {kind: {"learning_rate": 0.01, "weight_decay": 0.1}}, "loss": "mean_squared_error"}
    model = prepared("input: [3]\nlayers: [dense: 4, tanh, dense: 2]", backend, settings)
    references = {name: Reference(array) for name, array in model.state().items()}
    for step in range(5):
        x, target = batch(model, step)
        _, gradients = model.loss_and_gradients(x, target)
        model.step(x, target)
        for name, reference in references.items():
            update(reference, gradients[name], 0.01, 0.1, step + 1)
            np.testing.assert_allclose(model.state()[name], reference.w, 1e-9, 1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(("clip", "expected"), [({"norm": 0.5}, "norm"), ({"value": 0.02}, "value"), ({}, "none")])
def test_gradients_are_limited(backend: str, clip: dict[str, float], expected: str) -> None:
    model = prepared(NETWORK, backend, {"optimizer": {"sgd": 1.0}, "clip": clip})
    x, target = batch(model, 0)
    before = model.state()
    _, gradients = model.loss_and_gradients(x, target)
    model.step(x, target)
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    assert norm > 0.5
    for name, g in gradients.items():
        limited = {"norm": g * 0.5 / norm, "value": g.clip(-0.02, 0.02), "none": g}[expected]
        np.testing.assert_allclose(before[name] - model.state()[name], limited, 1e-4, 1e-9)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_decay_of_weights_alone(backend: str) -> None:
    """At a gradient of zero, only what decays changes."""
    settings = {"optimizer": {"adamw": {"learning_rate": 0.1, "weight_decay": 0.5, "decays": "weights"}}}
    model = prepared(
        "input: [2]\nlayers: [dense: 3, layer_norm, dense: 2]", backend, settings | {"loss": "mean_squared_error"}
    )
    x = np.ones((2, 2))
    before = {name: array + 1 for name, array in model.state().items()}
    model.load(before)
    model.step(x, model.predict(x))
    for name, array in model.state().items():
        np.testing.assert_allclose(array, before[name] * (0.95 if array.ndim > 1 else 1), 1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_moving_average(backend: str) -> None:
    model = prepared(NETWORK, backend, {"optimizer": {"sgd": 0.1}, "ema": 0.5})
    average = model.state()
    for step in range(6):
        model.step(*batch(model, step))
        decay = min(0.5, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * array for name, array in model.state().items()}
    present, x = model.state(), batch(model, 9)[0]
    with model.averaged():
        for name, array in model.state().items():
            np.testing.assert_allclose(array, average[name], 1e-10, 1e-14)
        inside = model.predict(x)
    other = cnnspec.build(cnnspec.loads(NETWORK), backend=backend, dtype="float64", weights=average)
    np.testing.assert_allclose(inside, other.predict(x), 1e-8, 1e-12)
    assert all(np.array_equal(array, present[name]) for name, array in model.state().items())
    assert not np.allclose(model.predict(x), inside)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_restored_state_goes_on_alike(backend: str, name: str) -> None:
    whole, first, second = (prepared(NETWORK, backend, RECIPES[name]) for _ in range(3))
    trained(whole, 4)
    for step in range(2):
        first.step(*batch(first, step), first.train.accumulate)
    second.load(first.state())
    second.load_training_state(first.training_state())
    for step in range(2, 4):
        second.step(*batch(second, step), second.train.accumulate)
    for key, array in (whole.state() | whole.training_state()).items():
        assert np.array_equal(array, (second.state() | second.training_state())[key]), key


def test_soft_targets_are_mixed_losses() -> None:
    """The loss of probabilities is the mean of the losses of the classes, weighted by them."""
    settings = {"loss": {"cross_entropy": {"label_smoothing": 0.1}}}
    for backend in ("numpy", "torch"):
        model = prepared("input: [3]\nlayers: [dense: 4]", backend, settings)
        x, target = batch(model, 0)
        other = (target + 1) % 4
        q = 0.3 * np.eye(4)[target] + 0.7 * np.eye(4)[other]
        loss, gradients = model.loss_and_gradients(x, q)
        (one, of_one), (two, of_two) = (model.loss_and_gradients(x, t) for t in (target, other))
        assert loss == pytest.approx(0.3 * one + 0.7 * two, rel=1e-12)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, 0.3 * of_one[name] + 0.7 * of_two[name], 1e-10, 1e-14)


def test_a_batch_without_a_counted_class_changes_nothing() -> None:
    for backend in ("numpy", "torch"):
        model = prepared("input: [3]\nlayers: [dense: 4]", backend, {"loss": {"cross_entropy": {"ignore": 1}}})
        before = model.state()
        assert model.step(np.ones((2, 3)), np.array([1, 1])) == 0
        assert all(np.array_equal(array, before[name]) for name, array in model.state().items())


def test_float16_scales_are_restored() -> None:
    """The factor of the loss is part of the state of training."""
    model, other = (
        cnnspec.build(cnnspec.loads("input: [3]\nlayers: [dense: 2]"), backend="torch", dtype="float16") for _ in "ab"
    )
    for each in (model, other):
        each.begin_training(Train(), 1)
    x, target = np.full((2, 3), 60000.0), np.array([0, 1])
    before = model.training_state()["scaler"]
    model.step(x, target)  # overflows, so that the factor is halved
    after = model.training_state()["scaler"]
    assert after[0] == before[0] / 2
    other.load_training_state(model.training_state())
    assert np.array_equal(other.training_state()["scaler"], after)
    other.load(model.state())
    model.step(x / 6e4, target)
    other.step(x / 6e4, target)
    assert np.array_equal(other.training_state()["scaler"], model.training_state()["scaler"])
    assert all(np.array_equal(array, other.state()[name]) for name, array in model.state().items())


def test_torch_rmsprop_is_the_definition() -> None:
    """torch.optim.RMSprop, which the backend uses, divides by √s + eps as the documentation says."""
    w = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = torch.optim.RMSprop([w], lr=0.1, alpha=0.9, eps=1e-3)
    w.grad = torch.tensor([4.0], dtype=torch.float64)
    optimizer.step()
    assert w.item() == pytest.approx(2 - 0.1 * 4 / (math.sqrt(0.1 * 16) + 1e-3), rel=1e-12)
