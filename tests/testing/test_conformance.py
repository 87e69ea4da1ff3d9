"""Every layer of every backend against its definition, and the definitions against the textbook's own numbers."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from cnnspec.diagnostics import SpecError
from cnnspec.graph.training import CrossEntropy, MeanSquaredError
from cnnspec.layers import LAYERS
from cnnspec.runtime import backend as backends
from cnnspec.runtime.model import Model
from cnnspec.testing import CASES, DEFINITIONS, Case, check_backend, check_case, reference
from cnnspec.training import losses

BACKENDS = ["numpy", *(["torch"] if find_spec("torch") else [])]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_backend_does_what_the_definitions_say(case, name):
    assert check_case(name, case) == []


# The table is whole


def test_every_layer_has_a_definition():
    assert set(LAYERS) <= set(DEFINITIONS)


def test_every_layer_has_a_case():
    assert {case.kind for case in CASES} == set(LAYERS)


def test_case_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_field_of_a_layer_is_varied_by_some_case(kind):
    """But for those that only say how weights begin, which a backend never sees."""
    layers = [node.layer for case in CASES for node in case.graph().nodes if node.kind == kind]
    for name, field in LAYERS[kind].model_fields.items():
        if name not in ("init", "weight"):
            assert any(getattr(layer, name) != field.default for layer in layers), name


def test_every_case_holds_the_layer_that_it_is_about():
    for case in CASES:
        assert case.kind in {node.kind for node in case.graph().nodes}, case


# The definitions against the textbook

GRID = np.arange(9.0).reshape(1, 3, 3)
KERNEL = np.array([[[[0.0, 1.0], [2.0, 3.0]]]])


def compute(layers, x, weights=None):
    """The output for one sample x."""
    x = np.asarray(x, float)
    graph = Case("by-hand", "", layers, x.shape).graph()
    return reference.run(graph, weights or {}, x[None])[graph.output.name][0]


def correlate(fields, x, kernel):
    weight = np.asarray(kernel, float)
    conv = f"- conv: {{name: k, channels: {len(weight)}, kernel: {list(weight.shape[2:])}, bias: false, {fields}}}"
    return compute(conv, x, {"k.weight": weight}).tolist()


def test_figure_1_1_cross_correlation():
    assert correlate("", GRID, KERNEL) == [[[19, 25], [37, 43]]]


def test_1_1_2_convolution_turns_the_kernel_around():
    assert correlate("flip: true", GRID, KERNEL[:, :, ::-1, ::-1]) == [[[19, 25], [37, 43]]]
    assert correlate("flip: true", GRID, KERNEL) == [[[5, 11], [23, 29]]]


def test_figure_1_2_padding():
    assert correlate("padding: 2", GRID, KERNEL) == [[[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]]


def test_1_2_1_an_even_kernel_pads_the_top_and_left():
    assert correlate("padding: same", GRID, KERNEL) == [[[0, 3, 8], [9, 19, 25], [21, 37, 43]]]


def test_figure_1_3_stride():
    assert correlate("padding: 2, stride: [3, 2]", GRID, KERNEL) == [[[0, 8], [6, 8]]]


def test_figure_1_4_two_input_channels():
    x = np.concatenate([GRID, GRID + 1])
    kernel = np.concatenate([KERNEL, KERNEL + 1], axis=1)
    assert correlate("", x, kernel) == [[[56, 72], [104, 120]]]
    three = np.concatenate([kernel, kernel + 1, kernel + 2])
    assert correlate("", x, three) == [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]


def test_1_1_edge_detector():
    x = np.ones((1, 6, 8))
    x[:, :, 2:6] = 0
    assert correlate("", x, [[[[1, -1]]]]) == [[[0, 1, 0, 0, 0, -1, 0]] * 6]


def test_groups_see_only_their_own_channels():
    x = [[[1, 2]], [[10, 20]]]
    assert correlate("groups: 2", x, [[[[3]]], [[[4]]]]) == [[[3, 6]], [[40, 80]]]


def test_dilation_leaves_gaps_between_the_taps():
    assert correlate("dilation: 2", GRID, KERNEL) == [[[0 * 0 + 2 * 1 + 6 * 2 + 8 * 3]]]


def test_transposed_convolution_spreads_each_number():
    layer = "- conv_transpose: {name: t, channels: 1, kernel: 2, bias: false, %s}"
    weights = {"t.weight": KERNEL}
    x = [[[0, 1], [2, 3]]]
    # Zhang et al., Dive into Deep Learning, 14.10.
    assert compute(layer % "", x, weights).tolist() == [[[0, 0, 1], [0, 4, 6], [4, 12, 9]]]
    assert compute(layer % "padding: 2", x, weights).tolist() == [[[4]]]
    assert compute(layer % "stride: 2", x, weights).tolist() == [
        [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    ]


def test_figure_1_6_pooling():
    assert compute("- max_pool: {kernel: 2, stride: 1}", GRID).tolist() == [[[4, 5], [7, 8]]]
    assert compute("- avg_pool: {kernel: 2, stride: 1}", GRID).tolist() == [[[2, 3], [5, 6]]]


def test_1_4_2_pooling_with_padding_and_stride():
    x = np.arange(16.0).reshape(1, 4, 4)
    assert compute("- max_pool: 3", x).tolist() == [[[10]]]
    assert compute("- max_pool: {kernel: 3, stride: 2, padding: 2}", x).tolist() == [[[5, 7], [13, 15]]]


def test_1_4_3_pooling_keeps_the_channels():
    x = np.arange(16.0).reshape(1, 4, 4)
    y = compute("- max_pool: {kernel: 3, stride: 2, padding: 2}", np.concatenate([x, x + 1]))
    assert y.tolist() == [[[5, 7], [13, 15]], [[6, 8], [14, 16]]]


def test_max_pooling_never_takes_the_padding():
    assert compute("- max_pool: {kernel: 2, stride: 1, padding: 2}", [[[-5]]]).tolist() == [[[-5, -5], [-5, -5]]]


def test_average_pooling_counts_padding_and_never_the_overhang():
    ones = np.ones((1, 1, 3))
    pool = "- avg_pool: {kernel: [1, 2], padding: {left: 1, right: 1}, stride: [1, 3], rounding: ceil, %s}"
    # Windows over [0 1] and [1 0], the last 0 the right padding.
    assert compute(pool % "count_padding: true", ones).tolist() == [[[0.5, 0.5]]]
    assert compute(pool % "count_padding: false", ones).tolist() == [[[1, 1]]]
    assert compute("- avg_pool: {kernel: [1, 2], rounding: ceil}", ones).tolist() == [[[1, 1]]]


def test_reflection_does_not_repeat_the_edge():
    x = [[[1, 2, 3]]]
    layer = "- pad: {padding: {left: 2, right: 1}, mode: %s}"
    assert compute(layer % "reflect", x).tolist() == [[[3, 2, 1, 2, 3, 2]]]
    assert compute(layer % "edge", x).tolist() == [[[1, 1, 1, 2, 3, 3]]]


def test_bilinear_upsampling_has_half_pixel_centres():
    y = compute("- upsample: {scale: [1, 2], mode: bilinear}", [[[0, 4]]])
    assert y.tolist() == [[[0, 1, 3, 4]]]


def test_batch_norm_of_a_batch_has_mean_zero_and_moves_its_statistics():
    graph = Case("by-hand", "", "- batch_norm: {name: n, momentum: 0.5, eps: 1e-12}", (1,)).graph()
    weights = {"n.weight": [2.0], "n.bias": [1.0], "n.running_mean": [0.0], "n.running_var": [1.0]}
    weights = {name: np.array(numbers) for name, numbers in weights.items()}
    values, statistics = reference.run_training(graph, weights, np.array([[1.0], [3.0]]), seed=0, step=0)
    np.testing.assert_allclose(values["n"], [[-1], [3]], rtol=1e-9)
    assert statistics["n.running_mean"].tolist() == [1.0]  # halfway to the mean 2
    assert statistics["n.running_var"].tolist() == [1.5]  # halfway to 2, not 1: unbiased


def test_losses_by_hand():
    y = np.log([[1.0, 3.0], [1.0, 1.0]])
    target = np.array([1, 0])
    assert losses.value(CrossEntropy(), y, target) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    smooth = losses.value(CrossEntropy(label_smoothing=0.2), y, target)
    assert smooth == pytest.approx((0.9 * math.log(4 / 3) + 0.1 * math.log(4) + math.log(2)) / 2)
    assert losses.value(MeanSquaredError(), np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]])) == 2.5


def test_central_differences_find_the_gradient_of_a_dense_layer():
    case = Case("by-hand", "dense", "- dense: {name: d, units: 2}", (3,))
    weights = case.weights()
    dx, gradients = reference.gradients(case.graph(), weights, case.x(), case.dy())
    np.testing.assert_allclose(dx, case.dy() @ weights["d.weight"], rtol=1e-8)
    np.testing.assert_allclose(gradients["d.weight"], case.dy().T @ case.x(), rtol=1e-8)
    np.testing.assert_allclose(gradients["d.bias"], case.dy().sum(axis=0), rtol=1e-8)


# The kit finds what is wrong


class Definition(Model):
    """The definitions as a backend, with a fault where a test wants one."""

    name = "definition"
    off_value = off_gradient = 0.0
    shares_state = forgets = False

    def __init__(self, graph, weights, device, dtype):
        super().__init__(graph, device, dtype)
        self.weights = {name: array.copy() for name, array in weights.items()}

    def _run(self, inputs, hook=None):
        (x,), output = inputs.values(), self.graph.output.name
        values = reference.run(self.graph, self.weights, x.astype(float))
        values[output][0, 0] += self.off_value
        for name, array in values.items():
            if hook is not None:
                hook(name, array.astype(self.array_dtype))
        return {output: values[output].astype(self.array_dtype)}

    def _state(self):
        return {name: array if self.shares_state else array.copy() for name, array in self.weights.items()}

    def _load(self, state):
        if not self.forgets:
            self.weights = dict(state)

    def _vjp(self, inputs, dy):
        ((name, x),), (dy,) = inputs.items(), dy.values()
        dx, gradients = reference.gradients(self.graph, self.weights, x, dy)
        gradients["dense1.weight"][0, 0] += self.off_gradient
        return {name: dx}, gradients

    def _unneeded(self, *arguments):
        raise NotImplementedError

    _loss_and_gradients = _step = _begin_training = _optimizer_state = _load_optimizer_state = _unneeded

    @classmethod
    def prepare(cls, graph, weights, *, device, dtype):
        return cls(graph, weights, device, dtype)


SMALL = Case("small", "dense", "- dense: 2\n- sigmoid", (3,))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({}, []),
        ({"off_value": 1e-8}, ["sigmoid1", "predict"]),
        ({"off_gradient": 1e-5}, ["gradient of dense1.weight"]),
        ({"shares_state": True}, ["state"]),
        ({"forgets": True}, ["dense1.weight", "dense1.bias"]),
    ],
)
def test_the_kit_names_what_is_wrong(fault, found, monkeypatch):
    faulty = type("Faulty", (Definition,), fault)
    monkeypatch.setattr(backends, "find", lambda name: faulty)
    failures = check_case("faulty", SMALL, ["float64"])
    assert [failure.where for failure in failures] == found
    assert all(str(failure).startswith("small (float64): `") for failure in failures)


def test_an_exception_of_a_backend_is_one_failure(monkeypatch):
    monkeypatch.setattr(backends, "find", lambda name: Definition)
    learns = Case("learns", "dense", "- dense: 2", (3,), "{loss: mean_squared_error}")
    failures = check_backend("definition", [learns, SMALL])
    assert [(failure.case, failure.what) for failure in failures] == [("learns", "raises NotImplementedError: ")]


# Random windows: the shape that is predicted is the one that comes out, with the numbers of the definition

offsets = st.integers(0, 2)
paddings = st.one_of(
    st.sampled_from(["valid", "same", "same_upper", "same_lower"]),
    offsets.map(str),
    st.tuples(offsets, offsets, offsets, offsets).map(
        "{{top: {0[0]}, bottom: {0[1]}, left: {0[2]}, right: {0[3]}}}".format
    ),
)
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4)).map(list)
windows = st.builds("kernel: {}, stride: {}, padding: {}".format, pairs, pairs, paddings)
small = st.integers(1, 2)
window_layers = st.one_of(
    st.builds("conv: {{channels: {}, groups: 2, dilation: {}, {}}}".format, st.sampled_from([2, 4]), small, windows),
    st.builds("conv_transpose: {{channels: {}, dilation: {}, {}}}".format, small, small, windows),
    st.builds("max_pool: {{rounding: {}, {}}}".format, st.sampled_from(["floor", "ceil"]), windows),
    st.builds("avg_pool: {{rounding: {}, {}}}".format, st.sampled_from(["floor", "ceil"]), windows),
)


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=80, deadline=None)
@given(layer=window_layers, height=st.integers(4, 10), width=st.integers(4, 10))
def test_random_windows(name, layer, height, width):
    case = Case("random", layer.split(":")[0], f"- {layer}", (2, height, width))
    try:
        graph = case.graph()
    except SpecError:
        reject()  # a window that does not fit, or pooling of padding alone
    model = backends.find(name).prepare(graph, case.weights(), device="cpu", dtype="float64")
    y = model.predict(case.x())
    assert y.shape[1:] == graph.output.shape
    expected = reference.run(graph, case.weights(), case.x())[graph.output.name]
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
