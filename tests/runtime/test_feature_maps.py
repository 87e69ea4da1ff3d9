"""The feature maps of a network by name."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import InputError

X = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="module", params=["numpy", "torch"])
def model(request: pytest.FixtureRequest) -> cnnspec.Model:
    if request.param == "torch":
        pytest.importorskip("torch")
    return cnnspec.build("lenet", backend=request.param, weights="lenet")


def test_all_layers_that_are_maps(model: cnnspec.Model) -> None:
    maps = model.feature_maps(X)
    assert {name: array.shape for name, array in maps.items()} == {
        "conv1": (2, 6, 24, 24),
        "sigmoid1": (2, 6, 24, 24),
        "max_pool1": (2, 6, 12, 12),
        "conv2": (2, 16, 8, 8),
        "sigmoid2": (2, 16, 8, 8),
        "max_pool2": (2, 16, 4, 4),
    }


def test_they_are_the_values_of_the_layers(model: cnnspec.Model) -> None:
    values = model.trace(X)
    for name, array in model.feature_maps(X).items():
        np.testing.assert_array_equal(array, values[name])


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (["conv2", "conv1"], ["conv1", "conv2"]),
        (["max_pool*"], ["max_pool1", "max_pool2"]),
        (["*1"], ["conv1", "sigmoid1", "max_pool1"]),  # not flatten1 and dense1, which are vectors
        ("conv1", ["conv1"]),
        ([], []),
    ],
)
def test_chosen_layers_in_the_order_of_the_network(
    model: cnnspec.Model, layers: Iterable[str], names: list[str]
) -> None:
    assert [*model.feature_maps(X, layers)] == names


def test_a_block(model: cnnspec.Model) -> None:
    network = cnnspec.build("resnet20")
    maps = network.feature_maps(np.zeros((1, 3, 32, 32), np.float32), ["stage3"])
    assert maps
    assert all(name.startswith("stage3.") for name in maps)


def test_other_axes() -> None:
    signal = "input: {channels: 2, length: 9}\nlayers: [conv: {channels: 3, kernel: 2}, flatten, dense: 2]\n"
    maps = cnnspec.build(cnnspec.loads(signal)).feature_maps(np.zeros((4, 2, 9)))
    assert {name: array.shape for name, array in maps.items()} == {"conv1": (4, 3, 8)}


def test_a_wrong_name(model: cnnspec.Model) -> None:
    with pytest.raises(InputError, match="no layer matches `conv3`: did you mean `conv2` or `conv1`"):
        model.feature_maps(X, ["conv3"])


def test_a_vector(model: cnnspec.Model) -> None:
    with pytest.raises(InputError, match="`dense1` has no feature maps: it is a vector"):
        model.feature_maps(X, ["dense1"])


def test_repr_has_the_shapes(model: cnnspec.Model) -> None:
    text = repr(model.feature_maps(X, ["conv1", "conv2"]))
    assert text == "<feature maps of lenet: conv1 [2, 6, 24, 24], conv2 [2, 16, 8, 8]>"
