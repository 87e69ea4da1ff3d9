"""Models with several inputs and outputs, on every backend: prediction, derivatives and training by name."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import BackendError, InputError
from cnnspec.runtime.backend import available
from cnnspec.testing import reference

SIAMESE = """
name: siamese
inputs: {left: [1, 6, 6], right: [1, 6, 6]}
outputs: {distance: distance1, code: head}
layers:
  - conv: {channels: 3, kernel: 3, name: tower, activation: tanh}
  - flatten
  - dense: {units: 4, name: head, activation: tanh}
  - add:
      l: []
      r:
        - from: right
        - conv: {channels: 3, kernel: 3, share: tower}
        - tanh
        - flatten
        - dense: {units: 4, share: head}
        - tanh
        - scale: {value: -1, learn: false}
  - dense: {units: 1, name: distance1}
"""

HEADS = """
name: heads
input: [2, 8, 8]
outputs: [main, aux]
classes: [a, b, c]
layers:
  - conv: {channels: 4, kernel: 3, padding: same, norm: batch_norm, activation: relu, name: stem}
  - global_avg_pool
  - dense: {units: 3, name: aux}
  - from: stem
  - conv: {channels: 4, kernel: 3, activation: relu}
  - max_pool: 2
  - flatten
  - dropout: 0.2
  - dense: {units: 3, name: main}
train:
  losses: {main: cross_entropy, aux: {cross_entropy: {weight: 0.3}}}
  optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}
"""

BACKENDS = list(available())
ROUNDING = {"float64": 1e-12, "float32": 1e-6}


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("numerics", ["strict", "default"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_and_outputs_by_name(backend: str, numerics: str) -> None:
    spec = cnnspec.loads(SIAMESE)
    model = cnnspec.build(spec, backend, dtype="float64", numerics=numerics)
    x = {"left": numbers(3, 1, 6, 6), "right": numbers(3, 1, 6, 6, seed=1)}
    found = model.predict(x)
    expected = reference.run(spec.graph, model.state(), x)
    assert list(found) == ["distance", "code"]
    np.testing.assert_allclose(found["distance"], expected["distance1"], rtol=1e-10)
    np.testing.assert_allclose(found["code"], expected["tanh2"], rtol=1e-10)
    assert list(model.trace(x))[:3] == ["left", "right", "tower"]
    same = model.predict({"left": x["left"], "right": x["left"]})["distance"]
    np.testing.assert_allclose(same, np.broadcast_to(model.state()["distance1.bias"], (3, 1)), atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_by_name(backend: str) -> None:
    spec = cnnspec.loads(SIAMESE)
    model = cnnspec.build(spec, backend, dtype="float64")
    x = {"left": numbers(2, 1, 6, 6), "right": numbers(2, 1, 6, 6, seed=1)}
    dx, gradients = model.vjp(x, {"distance": numbers(2, 1), "code": numbers(2, 4)})
    by_node = {"distance1": numbers(2, 1), "tanh2": numbers(2, 4)}
    expected, of_weights = reference.gradients(spec.graph, model.state(), x, by_node)
    for found, wanted in ((dx, expected), (gradients, of_weights)):
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            known = ~np.isnan(array)
            np.testing.assert_allclose(found[name][known], array[known], rtol=1e-6, atol=1e-8)
    one, _ = model.vjp(x, {"code": numbers(2, 4)})
    assert not one["right"].any()
    assert one["left"].any()


@pytest.mark.parametrize("numerics", ["strict", "default"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loss_is_the_weighted_sum(backend: str, numerics: str) -> None:
    spec = cnnspec.loads(HEADS)
    model = cnnspec.build(spec, backend, dtype="float64", numerics=numerics)
    x, labels = numbers(4, 2, 8, 8), np.array([0, 1, 2, 1])
    assert spec.train is not None
    loss, gradients = model.loss_and_gradients(x, {"main": labels, "aux": labels})
    expected, wanted = reference.loss_and_gradients(spec.graph, model.state(), x, labels, spec.train)
    assert loss == pytest.approx(expected, rel=1e-9)
    for name, array in wanted.items():
        known = ~np.isnan(array)
        np.testing.assert_allclose(gradients[name][known], array[known], rtol=1e-6, atol=1e-8)
    assert model.step(x, labels) == pytest.approx(expected, rel=1e-9)  # one array is the target of each
    assert {name: y.shape for name, y in model.outputs.items()} == {"main": (4, 3), "aux": (4, 3)}


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs a second backend")
@pytest.mark.parametrize("dtype", list(ROUNDING))
def test_two_backends_tell_the_same_story(dtype: str) -> None:
    models = [cnnspec.build(cnnspec.loads(HEADS), backend, dtype=dtype) for backend in BACKENDS]
    for step in range(5):
        x = numbers(20, 2, 8, 8, seed=step)
        targets = {"main": np.arange(20) % 3, "aux": np.arange(20) % 2}
        first, *others = [model.step(x, targets) for model in models]
        for loss in others:
            assert loss == pytest.approx(first, rel=ROUNDING[dtype])


@pytest.mark.parametrize("numerics", ["strict", "default"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_output_without_a_loss_is_not_trained(backend: str, numerics: str) -> None:
    spec = cnnspec.loads(HEADS)
    model = cnnspec.build(spec, backend, dtype="float64", numerics=numerics)
    model.begin_training(cnnspec.Train(losses={"aux": spec.losses["aux"]}), 1)
    before = model.state()
    model.step(numbers(4, 2, 8, 8), np.array([0, 1, 2, 1]))
    after = model.state()
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert {"aux.weight", "stem.weight"} <= changed
    assert not {"main.weight", "conv1.weight"} & changed
    assert list(model.outputs) == ["aux"]


def test_what_does_not_fit_is_an_error() -> None:
    model = cnnspec.build(cnnspec.loads(SIAMESE))
    x = {"left": numbers(2, 1, 6, 6), "right": numbers(2, 1, 6, 6)}
    with pytest.raises(InputError, match="the network has the inputs left, right: give a batch of each by name"):
        model.predict(x["left"])
    with pytest.raises(InputError, match="the network has the inputs left, right, and is given left"):
        model.predict({"left": x["left"]})
    with pytest.raises(InputError, match="batches of different sizes: 1, 2"):
        model.predict(x | {"left": x["left"][:1]})
    with pytest.raises(InputError, match="dy is given by the names of outputs: distance, code"):
        model.vjp(x, numbers(2, 1))
    with pytest.raises(BackendError, match=r"needs a score for each class; the output `distance` is one number: end"):
        model.step(x, numbers(2, 1))
    with pytest.raises(BackendError, match="the network has no output `x` for a loss: it has distance, code"):
        model.begin_training(cnnspec.Train(losses={"x": cnnspec.loads(HEADS).losses["aux"]}), 1)
    heads = cnnspec.build(cnnspec.loads(HEADS))
    with pytest.raises(InputError, match="targets are given for main, and needed for main, aux"):
        heads.step(numbers(2, 2, 8, 8), {"main": np.array([0, 1])})


def test_a_module_takes_tensors_in_order_or_by_name() -> None:
    torch = pytest.importorskip("torch")
    module = cnnspec.to_torch(cnnspec.loads(SIAMESE)).double()
    left, right = torch.randn(2, 1, 6, 6, dtype=torch.float64), torch.randn(2, 1, 6, 6, dtype=torch.float64)
    in_order, by_name = module(left, right), module({"right": right, "left": left})
    assert list(in_order) == ["distance", "code"]
    assert torch.equal(in_order["distance"], by_name["distance"])
