"""Initial weights: the seed decides, and the schemes keep to their papers."""

import math
from typing import get_args

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import WeightsError
from cnnspec.graph.build import GraphBuilder
from cnnspec.layers import Parameter
from cnnspec.layers.attention import Attention, PositionEmbedding
from cnnspec.layers.conv import Conv, ConvTranspose, Scheme
from cnnspec.layers.dense import Dense
from cnnspec.layers.fields import Numbers
from cnnspec.layers.norm import BatchNorm, Scale
from cnnspec.weights import initial as module
from cnnspec.weights.initial import initial

DRAWN = [scheme for scheme in get_args(Scheme) if scheme != "zeros"]


def network(*layers, shape, init="torch"):
    """A sequence of (name, layer)."""
    builder = GraphBuilder("net", init=init)
    last = builder.input(shape)
    for name, layer in layers:
        last = builder.add(name, layer, [last.name])
    return builder.graph()


def dense(init, **fields):
    return network(("fc", Dense(units=300, **fields)), shape=(200,), init=init)


@pytest.mark.parametrize("scheme", DRAWN)
def test_weights_have_the_mean_variance_and_form_of_the_scheme(scheme):
    weight = initial(dense(scheme), 0)["fc.weight"]
    assert weight.shape == (300, 200)
    variance = {"torch": 1 / 600, "he": 2 / 200, "glorot": 2 / 500, "lecun": 1 / 200}[scheme.split("_")[0]]
    # Over 60,000 numbers the mean varies by σ/245 and the variance by less than 0.6 %; five times that is certain.
    assert abs(weight.mean()) < 5 * math.sqrt(variance / weight.size)
    assert weight.var() == pytest.approx(variance, rel=0.03)
    bound = math.sqrt(3 * variance)
    if scheme.endswith("_normal"):
        within = np.mean(np.abs(weight) < math.sqrt(variance))
        assert within == pytest.approx(0.6827, abs=0.01)
        assert np.abs(weight).max() > bound
    else:
        assert 0.999 * bound < np.abs(weight).max() <= bound
        assert np.mean(np.abs(weight) < bound / 2) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("scheme", DRAWN)
def test_only_torch_draws_biases(scheme):
    bias = initial(dense(scheme), 0)["fc.bias"]
    if scheme == "torch":
        bound = 1 / math.sqrt(200)
        assert 0.9 * bound < np.abs(bias).max() <= bound
    else:
        assert not bias.any()


@pytest.mark.parametrize(
    ("layer", "make"),
    [
        (
            Conv(channels=8, kernel=(3, 5), groups=2),
            lambda nn: nn.Conv2d(4, 8, (3, 5), groups=2),
        ),
        (
            ConvTranspose(channels=6, kernel=(2, 3), groups=2),
            lambda nn: nn.ConvTranspose2d(4, 6, (2, 3), groups=2),
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_ranges_are_those_of_torch_layers(layer, make):
    torch = pytest.importorskip("torch")
    ours = initial(network(("c", layer), shape=(4, 9, 9)), 0)
    samples = {"weight": [], "bias": []}
    torch.manual_seed(0)
    for _ in range(200):
        for name, value in make(torch.nn).named_parameters():
            samples[name].append(value.detach().numpy())
    for name, values in samples.items():
        assert ours[f"c.{name}"].shape == values[0].shape
        bound = np.abs(values).max()  # of more than a thousand uniform numbers
        ranges = [
            np.abs(initial(network(("c", layer), shape=(4, 9, 9)), seed)[f"c.{name}"]).max() for seed in range(200)
        ]
        assert max(ranges) == pytest.approx(bound, rel=0.01)


def test_projections_of_attention_begin_as_torch_draws_them():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ours = initial(network(("a", Attention(heads=4)), shape=(40, 3, 3)), 0)
    theirs = dict(torch.nn.MultiheadAttention(40, 4).named_parameters())
    assert {f"a.{name}": tuple(value.shape) for name, value in theirs.items()} == {k: v.shape for k, v in ours.items()}
    for name, value in theirs.items():
        # Of more than a thousand uniform numbers the largest is near the bound.
        assert np.abs(ours[f"a.{name}"]).max() == pytest.approx(value.detach().abs().max().item(), rel=0.01)


def test_the_scheme_of_the_network_counts_for_attention_too():
    arrays = initial(network(("a", Attention(heads=4)), shape=(100, 3, 3), init="he_normal"), 0)
    for name in ("in_proj_weight", "out_proj.weight"):
        assert arrays[f"a.{name}"].var() == pytest.approx(2 / 100, rel=0.05)


def test_position_embeddings_have_their_deviation_in_every_scheme():
    for scheme in DRAWN:
        arrays = initial(network(("p", PositionEmbedding(std=0.5)), shape=(30, 20, 20), init=scheme), 0)
        assert arrays["p.weight"].std() == pytest.approx(0.5, rel=0.03)
        assert np.abs(arrays["p.weight"]).max() > 1.5


def test_zeros():
    assert not any(array.any() for array in initial(dense("zeros"), 0).values())


def test_a_layer_may_choose_its_own_scheme():
    graph = network(("a", Dense(units=5)), ("b", Dense(units=5, init="zeros")), shape=(5,), init="he_normal")
    arrays = initial(graph, 0)
    assert arrays["a.weight"].any()
    assert not arrays["b.weight"].any()


def test_the_seed_decides():
    one, same, other = (initial(dense("torch"), seed)["fc.weight"] for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).any()


@pytest.mark.parametrize("scheme", ["torch", "he_normal"])
def test_these_very_numbers_are_kept_for_good(scheme):
    """Published results name a seed; a change of the drawing would break them all."""
    weight = initial(network(("fc", Dense(units=1)), shape=(3,), init=scheme), 7)["fc.weight"]
    expected = {
        "torch": [0.003674636318268365, 0.061187354730355525, 0.547428918545023],
        "he_normal": [0.027030497120087996, 0.6096823539939012, -0.6281083013037152],
    }
    np.testing.assert_allclose(weight[0], expected[scheme], rtol=1e-15)


def test_an_array_depends_on_no_other_layer():
    alone = initial(network(("fc", Dense(units=5)), shape=(4,)), 3)
    among = initial(network(("new", Dense(units=4)), ("fc", Dense(units=5)), ("last", Dense(units=2)), shape=(4,)), 3)
    assert (alone["fc.weight"] == among["fc.weight"]).all()
    assert (alone["fc.bias"] == among["fc.bias"]).all()
    assert not (among["new.weight"] == among["fc.weight"][:4]).any()


def test_float32_is_the_rounded_float64():
    graph = network(("c", Conv(channels=4, kernel=(3, 3))), ("bn", BatchNorm()), shape=(3, 8, 8), init="he_normal")
    wide, narrow = initial(graph, 0), initial(graph, 0, "float32")
    for name in graph.parameters:
        assert wide[name].dtype == np.float64
        assert narrow[name].dtype == np.float32
        assert (wide[name].astype(np.float32) == narrow[name]).all()


def test_large_arrays_are_drawn_in_blocks_without_a_seam(monkeypatch):
    for scheme in ("torch", "he_normal"):
        whole = initial(dense(scheme), 0)["fc.weight"]
        with monkeypatch.context() as patch:
            patch.setattr(module, "BLOCK", 1000)
            assert (initial(dense(scheme), 0)["fc.weight"] == whole).all()


def test_constants_and_state():
    arrays = initial(network(("bn", BatchNorm()), ("s", Scale(value=0.5)), shape=(3, 2, 2)), 0)
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "bn.weight": [1, 1, 1],
        "bn.bias": [0, 0, 0],
        "bn.running_mean": [0, 0, 0],
        "bn.running_var": [1, 1, 1],
        "s.weight": [0.5, 0.5, 0.5],
    }


def test_numbers_of_the_spec_are_taken():
    kernel = Numbers((2, 2), (0, 1, 2, 3))  # the two leading axes are left out
    graph = network(("c", Conv(channels=1, kernel=(2, 2), weight=kernel, bias=Numbers((), (7,)))), shape=(1, 3, 3))
    arrays = initial(graph, 0)
    assert arrays["c.weight"].tolist() == [[[[0, 1], [2, 3]]]]
    assert arrays["c.bias"].tolist() == [7]


def test_one_number_fills():
    weight = initial(network(("fc", Dense(units=2, weight=Numbers((), (0.5,)))), shape=(3,)), 0)["fc.weight"]
    assert weight.tolist() == [[0.5] * 3] * 2


def test_all_parameters_in_their_order():
    graph = network(("c", Conv(channels=4, kernel=(3, 3))), ("bn", BatchNorm()), shape=(3, 8, 8))
    assert list(initial(graph, 0)) == list(graph.parameters)


def test_numbers_beyond_the_dtype_are_refused():
    graph = network(("fc", Dense(units=1, weight=Numbers((), (1e300,)))), shape=(1,))
    assert initial(graph, 0)["fc.weight"] == 1e300
    with pytest.raises(WeightsError, match=r"`fc.weight` has initial values beyond the range of float32"):
        initial(graph, 0, "float32")


def test_a_foreign_layer_must_say_how_its_array_begins():
    class Odd(Dense):
        def parameters(self, *inputs):
            return {"gain": Parameter((2,))}

    with pytest.raises(ValueError, match=r"`o.gain` has neither a fill nor a fan-in"):
        initial(network(("o", Odd(units=2)), shape=(2,)), 0)


def test_a_foreign_scheme_is_refused():
    with pytest.raises(ValueError, match="no scheme `orthogonal`"):
        initial(dense("orthogonal"), 0)


def test_an_array_that_nodes_share_is_drawn_once() -> None:
    builder = GraphBuilder("shared")
    x = builder.input((3,))
    names = {"weight": "a.weight", "bias": "a.bias"}
    first = builder.add("a", Dense(units=3), [x.name])
    builder.add("b", Dense(units=3), [first.name], arrays=names)
    graph = builder.graph()
    weights = initial(graph, seed=0)
    assert list(weights) == list(graph.parameters) == ["a.weight", "a.bias"]
    y = cnnspec.build(graph, "numpy", dtype="float64").predict(np.ones((1, 3)))
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    once = w["a.weight"] @ np.ones(3) + w["a.bias"]
    np.testing.assert_allclose(y[0], w["a.weight"] @ once + w["a.bias"], rtol=1e-5)
