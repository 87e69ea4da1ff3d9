"""Every layer, in every variant, as ONNX operators: its shapes and its numbers against the definition in float64."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Array, Arrays
from cnnspec.graph.build import GraphBuilder
from cnnspec.interop.comparison import difference
from cnnspec.layers import LAYERS
from cnnspec.layers.base import Elementwise
from cnnspec.testing import Case, reference
from cnnspec.testing.cases import CASES

onnx = pytest.importorskip("onnx")

from cnnspec.interop.onnx_export.emitter import BASELINE  # noqa: E402
from cnnspec.interop.onnx_export.model import EMITTERS, NEWEST, OnnxModel, to_onnx  # noqa: E402
from cnnspec.interop.onnx_export.verification import check_shapes  # noqa: E402

MISCOMPUTED = {
    "conv-transpose-depthwise": "groups",
    "conv-transpose-groups": "groups",
    "conv-transpose-sequence-stride": "groups",
    "max-pool-padding-odd": "pads that differ",
    "max-pool-same": "pads that differ",
    "max-pool-sequence-padding-odd": "pads that differ",
    "max-pool-volume-padding-odd": "pads that differ",
    "local-response-norm-odd": "the channels at the ends",
    "local-response-norm-one": "the channels at the ends",
    "local-response-norm-wider-than-channels": "the channels at the ends",
    "global-max-pool-sequence": "other than two axes",
    "global-max-pool-volume": "other than two axes",
}
"""Cases whose operators ONNX's reference evaluator (as of 1.23) computes wrongly, and in what."""


@cache
def expected(case: Case) -> Arrays:
    return reference.run(case.graph(), case.weights(), case.x())


def run(model: OnnxModel, x: Array) -> Array:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(model.proto().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0])


@pytest.mark.parametrize("opset", [None, BASELINE, NEWEST])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_and_shapes(case: Case, opset: int | None) -> None:
    graph = case.graph()
    model = to_onnx(graph, case.weights(), opset=opset)
    onnx.checker.check_model(model.proto(), full_check=True)
    check_shapes(model, graph)
    assert model.values.keys() == graph.by_name.keys()
    assert model.opset == (opset or model.opset) >= BASELINE
    assert difference(expected(case)[graph.output.name], run(model, case.x())).relative < 1e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_onnx_own_evaluator(case: Case) -> None:
    """It is slow and plain, and shares no code with ONNX Runtime."""
    if case.name in MISCOMPUTED:
        pytest.skip(f"miscomputed by the evaluator: {MISCOMPUTED[case.name]}")
    from onnx.reference import ReferenceEvaluator

    graph = case.graph()
    evaluator = ReferenceEvaluator(to_onnx(graph, case.weights()).proto())
    with np.errstate(all="ignore"):
        y = evaluator.run(None, {graph.input.name: case.x().astype(np.float32)})[0]
    assert difference(expected(case)[graph.output.name], np.asarray(y)).relative < 1e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float16(case: Case) -> None:
    graph = case.graph()
    model = to_onnx(graph, case.weights(), "float16")
    onnx.checker.check_model(model.proto(), full_check=True)
    types = {a.dtype for a in model.initializers.values()} - {np.dtype(np.int64), np.dtype(np.float32)}
    assert types <= {np.dtype(np.float16)}
    assert difference(expected(case)[graph.output.name], run(model, case.x())).relative < 5e-3


@pytest.mark.parametrize("case", [case for case in CASES if case.train], ids=str)
def test_layers_of_training_stay_and_infer(case: Case) -> None:
    graph = case.graph()
    model = to_onnx(graph, case.weights(), training=True)
    onnx.checker.check_model(model.proto(), full_check=True)
    check_shapes(model, graph)
    operators = [node.op_type for node in model.skeleton.graph.node]
    assert operators.count("Dropout") == sum(node.layer.stochastic for node in graph.nodes)
    assert difference(expected(case)[graph.output.name], run(model, case.x())).relative < 1e-5


def test_dropout_keeps_its_rate_and_batch_norm_its_momentum() -> None:
    graph = cnnspec.loads("input: [4]\nlayers:\n  - batch_norm: {momentum: 0.3}\n  - dropout: 0.25\n").graph
    model = to_onnx(graph, cnnspec.build(graph).state(), training=True)
    norm, dropout = model.skeleton.graph.node
    assert {a.name: a.f for a in norm.attribute}["momentum"] == pytest.approx(0.7)  # of the old statistics, in ONNX
    assert model.initializers[dropout.input[1]] == 0.25


def test_every_kind_has_an_emitter() -> None:
    assert EMITTERS.keys() == LAYERS.keys()


@pytest.mark.parametrize(
    ("layer", "old", "operator", "composed"),
    [
        ("gelu", 19, "Gelu", "Erf"),
        ("gelu: {approximate: tanh}", 19, "Gelu", "Tanh"),
        ("mish", 17, "Mish", "Softplus"),
        ("pad: {padding: 2, mode: circular}", 18, "Pad", "Concat"),
        ("resize: {size: 7, mode: linear}", 17, "Resize", "MatMul"),
        ("avg_pool: {kernel: 2, dilation: 2}", 18, "AveragePool", "Conv"),
        ("lp_pool: {kernel: 2, dilation: 2}", 17, "LpPool", "Pow"),
    ],
)
def test_operators_that_an_opset_lacks_are_composed(layer: str, old: int, operator: str, composed: str) -> None:
    graph = cnnspec.loads(f"input: [2, 6, 5]\nlayers:\n  - {layer}\n").graph
    newer, older = to_onnx(graph, {}), to_onnx(graph, {}, opset=old)
    assert newer.opset == old + 1
    assert [node.op_type for node in newer.skeleton.graph.node] == [operator]
    operators = {node.op_type for node in older.skeleton.graph.node}
    assert composed in operators - {operator}
    x = np.random.default_rng(0).standard_normal((3, 2, 6, 5))
    assert difference(run(newer, x), run(older, x)).relative < 1e-5


@pytest.mark.parametrize("scale", [0.29, 1.1, 1.3, 2.5, 3.0, 0.37])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_places_that_float32_would_round_to_a_neighbour(scale: float, coordinates: str, rounding: str) -> None:
    """A hundred numbers have many places that lie half way, or on a number, as fractions alone tell."""
    layer = f"resize: {{scale: {scale}, coordinates: {coordinates}, rounding: {rounding}}}"
    graph = cnnspec.loads(f"input: [1, 100, 4]\nlayers:\n  - {layer}\n").graph
    x = np.random.default_rng(0).standard_normal((1, 1, 100, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(to_onnx(graph, {}), x), cnnspec.build(graph).predict(x))


class Unknown(Elementwise):
    """A layer of another package."""

    kind = "unknown"
    monotone = False
    linear = False
    piecewise = False


def test_layers_of_other_packages_are_listed_at_once() -> None:
    builder = GraphBuilder()
    builder.add("odd1", Unknown(), [builder.input((3,)).name])
    builder.add("odd2", Unknown(), ["odd1"])
    with pytest.raises(
        cnnspec.ExportError, match=r"for layers of other packages: `odd1` \(unknown\), `odd2` \(unknown\)"
    ):
        to_onnx(builder.graph(), {})


@pytest.mark.parametrize("opset", [16, NEWEST + 1])
def test_unknown_opsets(opset: int) -> None:
    graph = cnnspec.load("lenet").graph
    with pytest.raises(cnnspec.ExportError, match=f"the opset {opset} is not written: it is a number from 17 to"):
        to_onnx(graph, {}, opset=opset)
