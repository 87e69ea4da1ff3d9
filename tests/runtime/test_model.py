"""What `Model` checks for every backend."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import BackendError, InputError
from cnnspec.graph.training import Adam, MeanSquaredError, Sgd, Train
from cnnspec.runtime.backend import available
from cnnspec.runtime.model import Model

pytestmark = pytest.mark.parametrize("backend", list(available()))


def model(backend: str, layers: str, inputs: str = "[3]") -> Model:
    return cnnspec.build(cnnspec.loads(f"cnnspec: 1\ninput: {inputs}\nlayers: [{layers}]\n"), backend)


def test_the_state_of_another_optimizer_is_an_error_that_lists_what_differs(backend: str) -> None:
    m = model(backend, "dense: 2")
    m.begin_training(Train(optimizer=Adam()), 1)
    m.step([[1, 2, 3]], [1])
    state = m.training_state()
    m.begin_training(Train(optimizer=Sgd(momentum=0.9)), 1)
    with pytest.raises(BackendError) as caught:
        m.load_training_state(state)
    first, *lines = str(caught.value).splitlines()
    assert first == "the given state is of another optimizer or network:"
    assert set(lines) == {
        "  dense1.weight:exp_avg: found [2, 3], expected nothing",
        "  dense1.weight:exp_avg_sq: found [2, 3], expected nothing",
        "  dense1.bias:exp_avg: found [2], expected nothing",
        "  dense1.bias:exp_avg_sq: found [2], expected nothing",
        "  dense1.weight:momentum: found nothing, expected [2, 3]",
        "  dense1.bias:momentum: found nothing, expected [2]",
    }
    assert m.steps == 0  # nothing was restored


def test_the_optimizer_state_of_another_network_is_an_error_that_lists_what_differs(backend: str) -> None:
    m, other = model(backend, "dense: 2"), model(backend, "dense: 4")
    for each in (m, other):
        each.begin_training(Train(optimizer=Sgd(momentum=0.9)), 1)
    with pytest.raises(BackendError, match=r"dense1.bias:momentum: found \[4\], expected \[2\]"):
        m.load_training_state(other.training_state())


def test_one_number_cannot_be_normalised_over_the_batch(backend: str) -> None:
    m = model(backend, "batch_norm, dense: 2")
    m.begin_training(Train(loss=MeanSquaredError()), 1)
    before = m.state()
    for use in (m.step, m.loss_and_gradients):
        with pytest.raises(InputError, match="`batch_norm1` gets one number for each channel"):
            use([[1, 2, 3]], [[0, 0]])
    assert all(np.array_equal(before[name], array) for name, array in m.state().items())
    assert np.isfinite(m.step([[1, 2, 3], [2, 3, 4]], [[0, 0], [0, 0]]))


def test_one_image_of_several_pixels_is_normalised(backend: str) -> None:
    m = model(backend, "batch_norm, flatten, dense: 2", "[3, 1, 2]")
    m.begin_training(Train(loss=MeanSquaredError()), 1)
    assert np.isfinite(m.step(np.arange(6.0).reshape(1, 3, 1, 2), [[0, 0]]))
