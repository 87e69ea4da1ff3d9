"""The traits that layers declare hold of what the layers compute, by the definitions in float64."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from cnnspec_numpy import backend

import cnnspec
from cnnspec.layers import LAYERS, Layer
from cnnspec.layers.activation import Elu, LeakyRelu
from cnnspec.layers.base import Elementwise, undeclared
from cnnspec.layers.function import ThresholdedRelu
from cnnspec.testing import CASES, Case, run

Array = npt.NDArray[np.float64]

# One network for each kind whose layer of that kind comes last and alone, in the shared table of the conformance kit.
ALONE = {
    case.name: case
    for case in CASES
    if [node.kind for node in case.graph().nodes[1:]] == [case.kind] and case.kind != "batch_norm"
}


def output(case: Case, x: Array) -> Array:
    return run(case.graph(), case.weights(), x)[case.graph().output.name]


def layer_of(case: Case) -> Layer:
    return case.graph().output.layer


def test_the_table_has_every_kind_that_stands_alone() -> None:
    several = {kind for kind, cls in LAYERS.items() if cls.arity is None}
    assert {case.kind for case in ALONE.values()} == LAYERS.keys() - several - {"batch_norm"}


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_linear_layers_and_no_others_are_affine(case: Case) -> None:
    x = case.x()
    rng = np.random.default_rng(0)
    y, zero = rng.normal(size=x.shape) * 3, np.zeros_like(x)
    both, apart = output(case, x + y), output(case, x) + output(case, y) - output(case, zero)
    assert np.allclose(both, apart, rtol=1e-9, atol=1e-9) == layer_of(case).linear


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_elementwise_layers_read_one_number_for_each(case: Case) -> None:
    layer, x = layer_of(case), case.x()
    if not layer.elementwise:
        return
    y = output(case, x)
    changed = x.copy()
    changed.flat[x.size // 2] += 0.5
    assert y.shape == x.shape
    assert set(np.flatnonzero(output(case, changed) != y)) <= {x.size // 2}


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_monotone_layers_never_decrease(case: Case) -> None:
    if layer_of(case).monotone:
        assert layer_of(case).elementwise
        x = case.x()
        ranks = [output(case, x + shift) for shift in np.linspace(-4, 4, 33)]
        assert all((after >= before - 1e-12).all() for before, after in pairwise(ranks))


@pytest.mark.parametrize("kind", ["gelu", "silu", "mish", "hard_swish", "softmax", "abs", "log", "sqrt"])
def test_what_decreases_somewhere_is_not_declared_monotone(kind: str) -> None:
    assert not LAYERS[kind]().monotone


def test_a_negative_slope_is_not_monotone() -> None:
    assert LeakyRelu(slope=0.1).monotone
    assert not LeakyRelu(slope=-0.1).monotone
    assert Elu(alpha=1.0).monotone
    assert not Elu(alpha=-1.0).monotone
    assert ThresholdedRelu(alpha=0.5).monotone
    assert not ThresholdedRelu(alpha=-0.5).monotone


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_layers_that_commute_with_a_factor_and_a_shift(case: Case) -> None:
    node, x = case.graph().output, case.x()
    if not node.layer.commutes_with_affine:
        return
    padded = any(window.before > 0 or window.after > 0 for window in node.windows)
    exact = not (padded and node.layer.pads_with_zeros)
    y = output(case, x)
    np.testing.assert_allclose(output(case, 0.25 * x), 0.25 * y, rtol=0, atol=1e-14 * np.abs(y).max())
    assert np.allclose(output(case, 0.25 * x + 3), 0.25 * y + 3, rtol=0, atol=1e-13) == exact


@pytest.mark.parametrize("case", [case for case in ALONE.values() if layer_of(case).rescaled], ids=str)
def test_rescaled_layers_equal_another_but_for_constants(case: Case) -> None:
    rescaled, shape = layer_of(case).rescaled, case.x().shape
    assert rescaled is not None
    other = cnnspec.loads(f"input: {list(shape[1:])}\nlayers: [{rescaled.layer.kind}]\n").graph
    x = np.linspace(-40, 40, case.x().size).reshape(shape)
    found = run(other, {}, rescaled.factor * x)[other.output.name]
    np.testing.assert_allclose(rescaled.scale * found + rescaled.shift, output(case, x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_layers_that_fold_their_input_sum_the_same_weights_everywhere(case: Case) -> None:
    node, weights = case.graph().output, case.weights()
    padded = any(window.before > 0 or window.after > 0 for window in node.windows)
    if not node.layer.folds_affine_input or (padded and node.layer.pads_with_zeros):
        return
    ones, zeros = (output(case, np.full_like(case.x(), value)) for value in (1, 0))
    summed = node.layer.summed_weight(weights[node.arrays["weight"]])  # type: ignore[attr-defined]
    expected = zeros + summed.reshape(-1, *[1] * (zeros.ndim - 2))
    np.testing.assert_allclose(ones, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("case", ALONE.values(), ids=str)
def test_layers_that_alias_their_input_share_its_memory(case: Case) -> None:
    model = backend.prepare(case.graph(), case.weights(), device="cpu", dtype="float64")
    values: dict[str, Array] = {}
    model.run_with_hook(case.x(), values.__setitem__)
    shares = np.may_share_memory(values["input"], values[case.graph().output.name])
    assert shares or not layer_of(case).aliases_input


@pytest.mark.parametrize("case", [case for case in ALONE.values() if layer_of(case).elementwise], ids=str)
def test_piecewise_layers_and_no_others_have_a_derivative_that_jumps(case: Case) -> None:
    """The slope between neighbours on a fine grid changes little from one pair to the next, but for a jump."""
    layer, step = layer_of(case), 1e-4
    if case.graph().parameters:
        return  # they differ from channel to channel, so that neighbours on the grid are not comparable
    x = np.zeros((1, *case.input))
    grid = np.arange(-7, 7, step) + step / 2 + (7.3 if case.shift else 0)
    padded = np.resize(grid, (grid.size // x.size + 1) * x.size).reshape(-1, *case.input)
    slopes = np.diff(output(case, padded[: grid.size // x.size]).ravel()) / step
    jumps = np.abs(np.diff(slopes)) > 1e-2 * np.maximum(1, np.abs(slopes[1:]))
    assert bool(jumps.any()) == layer.piecewise


def test_every_layer_declares_every_trait() -> None:
    assert {kind: undeclared(cls) for kind, cls in LAYERS.items() if undeclared(cls)} == {}


def test_what_a_layer_leaves_undeclared_is_listed() -> None:
    class Bare(Layer):
        kind = "bare"

    class Curve(Elementwise):
        kind = "curve"
        linear = False

    assert undeclared(Bare) == ["elementwise", "monotone", "linear", "piecewise", "infer", "macs", "receptive_field"]
    assert undeclared(Curve) == ["monotone", "piecewise"]


def test_a_stochastic_layer_needs_a_rate() -> None:
    class Noise(Elementwise):
        kind = "noise"
        monotone = False
        linear = True
        piecewise = False
        stochastic = True

    class Drop(Noise):
        rate: float

    assert undeclared(Noise) == ["rate"]
    assert undeclared(Drop) == []
