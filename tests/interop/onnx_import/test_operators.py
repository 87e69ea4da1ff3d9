"""Operators of ONNX as layers: each network of the conformance table comes back, and so do forms that others write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import ImportingError
from cnnspec.graph.costs import macs, trainable
from cnnspec.graph.graph import Graph
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.interop.onnx_export.files import write
from cnnspec.interop.onnx_export.model import to_onnx
from cnnspec.interop.onnx_import.load import import_onnx
from cnnspec.interop.structure.text import compact
from cnnspec.testing import CASES
from cnnspec.weights.initial import initial

onnx = pytest.importorskip("onnx")
parser = onnx.parser


def imported(tmp_path: Path, graph: Graph, opset: int | None = None) -> ImportedNetwork:
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(0.3, 1.2, p.shape).astype(np.float32) if not p.trainable or p.fill is not None else array
        for (name, p), array in zip(graph.parameters.items(), initial(graph, 0, np.float32).values(), strict=True)
    }
    path = tmp_path / "model.onnx"
    write(to_onnx(graph, weights, opset=opset), path)
    return import_onnx(path)


IDENTITIES = {
    "spatial-dropout-image", "spatial-dropout-vector", "stochastic-depth-image", "stochastic-depth-vector",
    "flatten-vector", "dropout-image", "dropout-vector", "dropout-sequence", "dropout-volume", "pad-nothing",
    "crop-whole", "channel-shuffle-each", "reshape-same", "permute-same",
}  # fmt: skip
"""Networks that compute nothing at inference, of which an ONNX model has no operation."""
LAYERS = [case for case in CASES if not case.train]


@pytest.mark.parametrize("case", LAYERS, ids=[case.name for case in LAYERS])
def test_a_network_of_the_conformance_table_comes_back(tmp_path: Path, case) -> None:
    graph = case.graph()
    if case.name in IDENTITIES:
        with pytest.raises(ImportingError, match="no layers"):
            imported(tmp_path, graph)
        return
    found = imported(tmp_path, graph)
    assert found.difference is not None
    shapes = [[g.by_name[name].shape for name in g.outputs] for g in (found.spec.graph, graph)]
    assert shapes[0] == shapes[1]
    assert cnnspec.loads(compact(found.spec)).graph.parameters.keys() == found.arrays.keys()


COMPOSED = [
    case
    for case in LAYERS
    if case.kind in ("rms_norm", "max_pool", "avg_pool", "adaptive_avg_pool")
    and case.name != "adaptive-avg-pool-same-size"
]


@pytest.mark.parametrize("opset", [None, 17])
@pytest.mark.parametrize("case", COMPOSED, ids=[case.name for case in COMPOSED])
def test_a_layer_that_is_written_as_several_operators_comes_back_as_one(tmp_path: Path, case, opset) -> None:
    found = imported(tmp_path, case.graph(), opset)
    assert kinds(found) == [case.kind]
    assert found.difference is not None


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet", None), ("resnet18", (3, 33, 33)), ("mobilenet_v2", (3, 32, 32)), ("shufflenet_v2_x1_0", (3, 32, 32)),
        ("googlenet", (3, 32, 32)), ("squeezenet1_1", (3, 40, 40)), ("unet_padded", (1, 32, 32)), ("m5", None),
        ("nin", (3, 64, 64)), ("mobilenet_v3_small", (3, 32, 32)), ("efficientnet_b0", (3, 32, 32)),
        ("densenet121", (3, 32, 32)),
    ],
)  # fmt: skip
def test_a_bundled_network_comes_back_with_its_numbers(tmp_path: Path, name: str, shape) -> None:
    graph = cnnspec.load(name, input_shape=shape).graph
    found = imported(tmp_path, graph)
    assert trainable(found.spec.graph.nodes) == trainable(graph.nodes)
    assert macs(found.spec.graph.nodes) == macs(graph.nodes)
    assert found.difference is not None


def model(tmp_path: Path, text: str, opset: int = 17, **constants: np.ndarray) -> Path:
    """A model from ONNX's text, with constants as initializers."""
    found = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')
    for name, array in constants.items():
        found.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path = tmp_path / "model.onnx"
    onnx.save(found, path)
    return path


def kinds(found: ImportedNetwork) -> list[str]:
    return [node.kind for node in found.spec.graph.nodes if node.inputs]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


X = "agraph (float[n, 4, 6, 6] x) => (float[n, 4, 6, 6] y)"
FORMS = {
    "silu": ("{ s = Sigmoid(x) y = Mul(x, s) }", ["silu"]),
    "mish": ("{ s = Softplus(x) t = Tanh(s) y = Mul(t, x) }", ["mish"]),
    "hard swish": (
        "{ a = Constant<value_float = 3.0>() p = Add(x, a) lo = Constant<value_float = 0.0>() "
        "hi = Constant<value_float = 6.0>() c = Clip(p, lo, hi) m = Mul(x, c) six = Constant<value_float = 6.0>() "
        "y = Div(m, six) }",
        ["hard_swish"],
    ),
    "gelu": (
        "{ r = Constant<value_float = 1.4142135>() d = Div(x, r) e = Erf(d) one = Constant<value_float = 1.0>() "
        "p = Add(e, one) m = Mul(x, p) half = Constant<value_float = 0.5>() y = Mul(m, half) }",
        ["gelu"],
    ),
    "relu6": (
        "{ lo = Constant<value_float = 0.0>() hi = Constant<value_float = 6.0>() y = Clip(x, lo, hi) }",
        ["relu6"],
    ),
    "transposes cancel": ("{ a = Transpose<perm = [0, 2, 3, 1]>(x) b = Relu(a) y = Transpose<perm = [0, 3, 1, 2]>(b) }",
                          ["relu"]),
    "shape arithmetic": (
        "{ s = Shape(x) i = Constant<value_ints = [0]>() n = Gather(s, i) m = Constant<value_ints = [-1]>() "
        "t = Concat<axis = 0>(n, m) f = Reshape(x, t) u = Shape(x) r = Relu(f) y = Reshape(r, u) }",
        ["relu"],  # what is reshaped twice is a view
    ),
    "a product that is no hard swish": (
        "{ a = Constant<value_float = 3.0>() p = Add(x, a) m = Mul(x, p) six = Constant<value_float = 6.0>() "
        "y = Div(m, six) }",
        ["shift", "multiply", "scale"],
    ),
    "what no output depends on": ("{ y = Relu(x) d = Det(x) e = Relu(d) }", ["relu"]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_function_of_several_operations_is_one_layer(tmp_path: Path, form: str) -> None:
    text, expected = FORMS[form]
    found = import_onnx(model(tmp_path, f"{X} {text}"))
    assert kinds(found) == expected
    assert found.difference is not None


NORM = (
    "agraph (float[n, 4, 6, 6] x) => (y) {{ m = ReduceMean<axes = {axes}>(x) d = Sub(x, m) "
    "two = Constant<value_float = 2.0>() q = Pow(d, two) v = ReduceMean<axes = {axes}>(q) "
    "e = Constant<value_float = 0.001>() p = Add(v, e) r = Sqrt(p) n = Div(d, r) s = Mul(n, w) y = Add(s, b) }}"
)


@pytest.mark.parametrize(
    ("axes", "shape", "named"),
    [
        ([-1], (6,), ("width",)),
        ([1], (4, 1, 1), ("channels",)),
        ([2, 3], (6, 6), ("height", "width")),
        ([-1, -2, -3], (4, 6, 6), ("channels", "height", "width")),
    ],
)
def test_a_norm_that_is_written_out_is_one_layer(
    tmp_path: Path, axes: list[int], shape: tuple[int, ...], named
) -> None:
    found = import_onnx(model(tmp_path, NORM.format(axes=axes), w=numbers(*shape), b=numbers(*shape)))
    assert kinds(found) == ["layer_norm"]
    assert (found.spec.graph.output.layer.axes, found.spec.graph.output.layer.eps) == (named, 0.001)


RMS = "agraph (float[n, 4, 6, 6] x) => (y) {{ {mean} e = Constant<value_float = 0.001>() p = Add(m, e) {rest} }}"
SUM = "q = Mul(x, x) a = Constant<value_ints = [1]>() s = ReduceSum(q, a) "
MEANS = {
    "mean": "two = Constant<value_float = 2.0>() q = Pow(x, two) m = ReduceMean<axes = [1]>(q)",
    "sum": f"{SUM} c = Constant<value_float = 4.0>() m = Div(s, c)",
    "no mean": f"{SUM} c = Constant<value_float = 3.0>() m = Div(s, c)",
}
QUOTIENTS = {
    "quotient": "r = Sqrt(p) d = Div(x, r) y = Mul(d, w)",
    "reciprocal": "r = Sqrt(p) i = Reciprocal(r) d = Mul(x, i) y = Mul(w, d)",
    "inverse": "r = Sqrt(p) one = Constant<value_float = 1.0>() i = Div(one, r) d = Mul(i, x) y = Mul(w, d)",
    "by position": "r = Sqrt(p) d = Div(x, r) y = Mul(d, v)",
}


@pytest.mark.parametrize("quotient", QUOTIENTS)
@pytest.mark.parametrize("mean", MEANS)
def test_a_root_mean_square_that_is_written_out_is_one_layer(tmp_path: Path, mean: str, quotient: str) -> None:
    text = RMS.format(mean=MEANS[mean], rest=QUOTIENTS[quotient])
    path = model(tmp_path, text, w=numbers(4, 1, 1), v=numbers(6))
    found = import_onnx(path)
    if mean == "no mean" or quotient == "by position":
        assert "rms_norm" not in kinds(found)
    else:
        assert kinds(found) == ["rms_norm"]
        assert found.spec.graph.output.layer.eps == 0.001
    assert found.difference is not None


def test_a_matrix_of_other_means_is_no_pool(tmp_path: Path) -> None:
    text = "agraph (float[n, 4, 6, 6] x) => (y) { y = MatMul(w, x) }"
    means = np.kron(np.eye(2), np.full((1, 3), 1 / 3)).astype(np.float32)
    assert kinds(import_onnx(model(tmp_path, text, w=means))) == ["adaptive_avg_pool"]
    means[1, 3] = 0.5
    assert "conv" in kinds(import_onnx(model(tmp_path, text, w=means)))


@pytest.mark.parametrize(("pads", "ceil", "expected"), [(1, 0, ["max_pool"]), (1, 1, None), (2, 0, None)])
def test_a_border_of_minus_infinity_is_the_padding_of_its_pool(tmp_path: Path, pads: int, ceil: int, expected) -> None:
    text = (
        "agraph (float[n, 4, 6, 6] x) => (y) { b = Pad(x, p, v) "
        f"y = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = {ceil}>(b) }}"
    )
    sides = np.array([0, 0, 0, 0, 0, 0, pads, pads])
    path = model(tmp_path, text, p=sides, v=np.array(-np.inf, np.float32))
    if expected is None:
        with pytest.raises(ImportingError, match="filled with -inf"):
            import_onnx(path)
    else:
        assert kinds(import_onnx(path)) == expected


def test_a_part_of_a_function_that_is_an_output_too_is_computed(tmp_path: Path) -> None:
    text = NORM.format(axes=[1]).replace("=> (y)", "=> (y, d)")
    found = import_onnx(model(tmp_path, text, w=numbers(4, 1, 1), b=numbers(4, 1, 1)))
    assert len(found.spec.graph.outputs) == 2
    assert found.difference is not None
    assert sorted(kinds(found)) == ["layer_norm", "reduce", "subtract"]


def test_a_bias_that_is_added_is_the_bias_of_its_layer(tmp_path: Path) -> None:
    text = (
        "agraph (float[n, 4, 6, 6] x) => (y) { c = Conv(x, w) b = Add(c, v) f = Flatten(b) m = MatMul(f, u) "
        "y = Add(m, z) }"
    )
    constants = {"w": numbers(3, 4, 3, 3), "v": numbers(3, 1, 1), "u": numbers(48, 5), "z": numbers(5)}
    found = import_onnx(model(tmp_path, text, **constants))
    assert kinds(found) == ["conv", "flatten", "dense"]
    assert set(found.arrays) == {"conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"}


def test_channels_last_costs_no_layer(tmp_path: Path) -> None:
    text = (
        "agraph (float[n, 4, 6, 6] x) => (y) { a = Transpose<perm = [0, 2, 3, 1]>(x) m = MatMul(a, w) s = Add(m, b) "
        "l = LayerNormalization<axis = -1>(s, g, h) y = Transpose<perm = [0, 3, 1, 2]>(l) }"
    )
    constants = {"w": numbers(4, 5), "b": numbers(5), "g": numbers(5), "h": numbers(5)}
    found = import_onnx(model(tmp_path, text, **constants))
    assert kinds(found) == ["conv", "layer_norm"]


def test_weights_that_two_operations_read_are_shared(tmp_path: Path) -> None:
    text = (
        "agraph (float[n, 4, 6, 6] x) => (y) { a = Conv<pads = [1,1,1,1]>(x, w) r = Relu(a) "
        "y = Conv<pads = [1,1,1,1]>(r, w) }"
    )
    found = import_onnx(model(tmp_path, text, w=numbers(4, 4, 3, 3)))
    assert found.spec.graph.shares == {"conv2": "conv1"}
    assert trainable(found.spec.graph.nodes) == 144


def test_older_opsets_have_attributes_where_newer_ones_have_inputs(tmp_path: Path) -> None:
    text = (
        "agraph (float[n, 4, 6, 6] x) => (y) { c = Clip<min = 0.0, max = 6.0>(x) "
        "p = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1]>(c) s = Slice<starts = [1], ends = [3], axes = [1]>(p) "
        "m = ReduceMean<axes = [2, 3], keepdims = 0>(s) y = Unsqueeze<axes = [2]>(m) }"
    )
    found = import_onnx(model(tmp_path, text, opset=9))
    assert kinds(found) == ["relu6", "pad", "slice", "adaptive_avg_pool", "reshape"]


def test_a_model_without_a_batch_computes_one_sample(tmp_path: Path) -> None:
    text = "agraph (float[4, 6, 5] x) => (y) { a = Softmax<axis = 0>(x) y = Transpose<perm = [2, 0, 1]>(a) }"
    path = model(tmp_path, text)
    found = import_onnx(path, batched=False)
    assert kinds(found) == ["softmax", "permute"]
    assert found.spec.graph.input.shape == (4, 6, 5)


def test_attention_whose_heads_are_split_before_the_batch_comes_back(tmp_path: Path) -> None:
    text = (
        "agraph (float[n, 6, 8] x) => (y) { q = MatMul(x, w) r = Reshape(q, s) "
        "t = Transpose<perm = [2, 0, 3, 1, 4]>(r) "
        "a, b, c = Split<axis = 0>(t, three) i = Squeeze(a, zero) j = Squeeze(b, zero) k = Squeeze(c, zero) "
        "l = Transpose<perm = [0, 1, 3, 2]>(j) m = MatMul(i, l) p = Softmax<axis = -1>(m) o = MatMul(p, k) "
        "u = Transpose<perm = [0, 2, 1, 3]>(o) y = Reshape(u, e) }"
    )
    sizes = {"s": [0, 6, 3, 2, 4], "three": [1, 1, 1], "zero": [0], "e": [0, 6, 8]}
    constants = {name: np.array(value, np.int64) for name, value in sizes.items()}
    found = import_onnx(model(tmp_path, text, w=numbers(8, 24), **constants))
    assert found.difference is not None
    assert kinds(found).count("matmul") == 2
