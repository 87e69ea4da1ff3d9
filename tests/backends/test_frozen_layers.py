"""Frozen layers: what they compute, what stays as it is, and the gradients of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.errors import TrainingError
from cnnspec.graph.finetuning import frozen
from cnnspec.graph.graph import Graph
from cnnspec.graph.rewrites import for_training
from cnnspec.graph.training import AdamW, Clip, Sgd, Train
from cnnspec.runtime.model import Model

torch = pytest.importorskip("torch")

NET = """
input: [2, 12, 12]
layers:
  - conv: {channels: 6, kernel: 3, padding: same, norm: batch_norm, activation: relu, name: stem}
  - repeat:
      times: 2
      name: stage
      layers:
        - add:
            main: [conv: {channels: 6, kernel: 3, padding: same, norm: batch_norm, activation: relu}, dropout: 0.3]
            skip: []
  - max_pool: 2
  - flatten
  - dropout: 0.2
  - dense: 4
"""
STEM = ("stem", "batch_norm1")
FREEZES = {
    "body": (*STEM, "stage*"),
    "beginning": (*STEM, "stage1"),
    "middle": ("stage1",),
    "norms": ("*batch_norm*",),
    "end": ("stage2.*", "dense1", "dropout1"),
}
SETTINGS = [("numpy", {}), ("numpy", {"numerics": "strict"}), ("torch", {}), ("torch", {"numerics": "strict"})]


def model_of(text: str, train: Train, backend: str = "numpy", dtype: str = "float64", **options: object) -> Model:
    """A model whose running statistics are those of no batch, ready to train."""
    spec = replace(cnnspec.loads(text), train=train)
    model = cnnspec.build(spec, backend, dtype=dtype, seed=1, **options)
    rng = np.random.default_rng(0)
    weights = model.state()
    for name, array in weights.items():
        if "running" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    model.load(weights)
    model.begin_training(train, 10)
    return model


def batches(graph: Graph, count: int, n: int = 9) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(3)
    shape, classes = graph.input.shape, graph.output.shape[0]
    return [(rng.normal(size=(n, *shape)), rng.integers(0, classes, n)) for _ in range(count)]


@pytest.mark.parametrize("freeze", FREEZES.values(), ids=FREEZES)
@pytest.mark.parametrize(("backend", "options"), SETTINGS)
def test_frozen_arrays_stay_to_the_bit_and_all_others_change(
    backend: str, options: dict[str, object], freeze: tuple[str, ...]
) -> None:
    train = Train(freeze=freeze, ema=0.5, optimizer=AdamW(), clip=Clip(norm=1.0))
    model = model_of(NET, train, backend, **options)
    before = model.state()
    for x, target in batches(model.graph, 3):
        model.step(x, target, parts=2)
    after = model.state()
    names = model.graph.frozen_arrays
    assert names
    with model.averaged():
        averaged = model.state()
    for name in names:
        assert_array_equal(after[name], before[name])
        assert_array_equal(averaged[name], before[name])
    assert all((after[name] != before[name]).any() for name in before if name not in names)
    assert not any(name.split(":")[0] in names for name in model.training_state())
    assert list(after) == list(model_of(NET, Train(), backend).state())


@pytest.mark.parametrize("freeze", FREEZES.values(), ids=FREEZES)
def test_the_gradients_of_the_plan_are_those_of_the_kernels_and_of_torch(freeze: tuple[str, ...]) -> None:
    expected: tuple[float, Arrays] | None = None
    for backend, options in SETTINGS:
        model = model_of(NET, Train(freeze=freeze), backend, **options)
        ((x, target),) = batches(model.graph, 1)
        loss, gradients = model.loss_and_gradients(x, target)
        expected = expected or (loss, gradients)
        assert loss == pytest.approx(expected[0], rel=1e-12)
        assert gradients.keys() == expected[1].keys() == {n for n, p in model.graph.parameters.items() if p.trainable}
        for name, gradient in gradients.items():
            assert_allclose(gradient, expected[1][name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("freeze", FREEZES.values(), ids=FREEZES)
def test_as_modules_of_torch_without_gradients_and_in_eval(freeze: tuple[str, ...]) -> None:
    """The usual way in PyTorch: requires_grad_(False), and eval() of the frozen modules after train()."""
    text = NET.replace("dropout: 0.3", "relu").replace("dropout: 0.2", "relu")
    freeze = tuple(name for name in freeze if "dropout" not in name)
    model = model_of(text, Train(freeze=freeze))
    ((x, target),) = batches(model.graph, 1)
    module = cnnspec.to_torch(cnnspec.loads(text)).double()
    module.load_state_dict({name: torch.tensor(array) for name, array in model.state().items()})
    module.train()
    for node in model.graph.nodes:
        if node.frozen:
            module.get_submodule(node.name).eval().requires_grad_(False)
    torch.nn.functional.cross_entropy(module(torch.tensor(x)), torch.tensor(target)).backward()
    expected = {name: p.grad.numpy() for name, p in module.named_parameters() if p.requires_grad}
    _, gradients = model.loss_and_gradients(x, target)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    model.step(x, target)
    for name, buffer in module.named_buffers():
        assert_allclose(model.state()[name], buffer.numpy(), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("freeze", [FREEZES["beginning"], FREEZES["norms"]], ids=["beginning", "norms"])
def test_both_backends_tell_the_same_story_over_twenty_steps(freeze: tuple[str, ...]) -> None:
    rates = {"stage2": 0.1, "stage2.batch_norm1": 3.0, "dense1": 2}
    train = Train(freeze=freeze, rates=rates, optimizer=AdamW(learning_rate=0.01), epochs=2)
    models = [model_of(NET, train, backend) for backend in ("numpy", "torch")]
    for x, target in batches(models[0].graph, 20):
        one, other = (model.step(x, target) for model in models)
        assert one == pytest.approx(other, rel=1e-10)
    first, second = (model.state() for model in models)
    for name, array in first.items():
        assert_allclose(array, second[name], rtol=1e-10, atol=1e-10, err_msg=name)


LAYERS = (
    "conv: {channels: 3, kernel: 3, name: it}",
    "conv: {channels: 3, kernel: 3, groups: 3, name: it}",
    "conv_transpose: {channels: 3, kernel: 2, stride: 2, name: it}",
    "batch_norm: {name: it}",
    "layer_norm: {name: it}",
    "group_norm: {groups: 3, name: it}",
    "instance_norm: {name: it}",
    "scale: {value: 0.5, name: it}",
    "shift: {value: 0.5, name: it}",
    "prelu: {name: it}",
    "attention: {heads: 3, name: it}",
    "dropout: {rate: 0.5, name: it}",
    "stochastic_depth: {rate: 0.5, name: it}",
)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_frozen_layer_above_a_trained_one(layer: str) -> None:
    """Of the frozen layer no gradient, and through it that of what it computes at inference.

    The graph is rewritten for training, since a pool reads an activation.
    """
    text = f"""
input: [2, 6, 6]
layers:
  - conv: {{channels: 3, kernel: 1}}
  - {layer}
  - relu
  - max_pool: 2
  - flatten
  - dense: 3
"""
    models = [model_of(text, Train(freeze=("it",)), backend, **options) for backend, options in SETTINGS]
    ((x, target),) = batches(models[0].graph, 1)
    expected = models[0].loss_and_gradients(x, target)[1]
    assert expected.keys() == {"conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"}
    for model in models:
        before = model.state()
        _, gradients = model.loss_and_gradients(x, target)
        for name, gradient in gradients.items():
            assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
        output = model.predict(x)
        model.step(x, target)
        assert_allclose(model.outputs, output, rtol=1e-9, atol=1e-12)
        assert all((model.state()[name] == before[name]).all() for name in model.graph.frozen_arrays)


def test_marks_outlive_the_rewrites_for_training() -> None:
    """Pools and activations are swapped there, and each keeps its own mark."""
    text = "input: [1, 8, 8]\nlayers: [conv: {channels: 2, kernel: 3}, relu, max_pool: 2, flatten, dense: 3]\n"
    graph = for_training(frozen(cnnspec.loads(text).graph, Train(freeze=("conv1", "relu1")))).graph
    assert {(node.kind, node.frozen) for node in graph.nodes} == {
        ("input", False), ("conv", True), ("relu", True), ("max_pool", False), ("flatten", False), ("dense", False),
    }  # fmt: skip
    assert graph.depends_on_parameters == {"dense1"}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_rates_are_factors_of_the_step_and_the_last_pattern_counts(backend: str) -> None:
    plain, scaled = (
        model_of(NET, Train(rates=rates, optimizer=Sgd(learning_rate=0.1)), backend)
        for rates in ({}, {"*": 0.5, "stage1": 0, "stage1.batch_norm1": 3})
    )
    before = plain.state()
    ((x, target),) = batches(plain.graph, 1)
    plain.step(x, target)
    scaled.step(x, target)
    factors = {"stage1.conv1": 0, "stage1.batch_norm1": 3}
    after, other = plain.state(), scaled.state()
    for name, p in plain.graph.parameters.items():
        factor = factors.get(name.rpartition(".")[0], 0.5) if p.trainable else 1
        assert_allclose(other[name] - before[name], factor * (after[name] - before[name]), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_batch_of_one_where_the_norms_are_frozen(backend: str) -> None:
    """Statistics of one number are an error, and a frozen norm takes none."""
    text = "input: [3]\nlayers: [dense: 4, batch_norm, dense: 2]\n"
    x, target = np.ones((1, 3)), np.array([1])
    with pytest.raises(cnnspec.InputError, match="cannot normalise it over the batch"):
        model_of(text, Train(), backend).step(x, target)
    model_of(text, Train(freeze=("batch_norm1",)), backend).step(x, target)


def test_settings_that_the_model_was_not_built_with() -> None:
    model = model_of(NET, Train(freeze=("stem",)))
    with pytest.raises(TrainingError, match="`stem` is frozen in this model, and `freeze` says otherwise"):
        model.begin_training(Train(), 1)
    with pytest.raises(TrainingError, match=r"`stage1\.add1` is not frozen in this model"):
        model.begin_training(Train(freeze=("stem", "stage1")), 1)
    with pytest.raises(
        TrainingError, match="`rates` has `dens1`, which is no layer with weights: did you mean `dense1`"
    ):
        model.begin_training(Train(freeze=("stem",), rates={"dens1": 0.1}), 1)
