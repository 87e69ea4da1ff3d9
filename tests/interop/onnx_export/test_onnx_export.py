"""Whole networks as ONNX files: names, metadata, precision, large files, and the proofs, which catch faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnspec
from cnnspec.arrays import Arrays
from cnnspec.data.inputs import scaled
from cnnspec.diagnostics import Source
from cnnspec.errors import ExportError
from cnnspec.graph.build import GraphBuilder
from cnnspec.interop import requirements
from cnnspec.interop.comparison import difference
from cnnspec.interop.onnx_export.export import export_onnx
from cnnspec.layers.activation import Relu

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from cnnspec.interop.onnx_export import files, functions, model, verification, windows  # noqa: E402

NORMED = """
name: normed
input: {shape: [3, 8, 8], mean: [0.5, 0.4, 0.3], std: 0.25}
classes: [cat, "dög"]
layers:
  - conv: {name: first, channels: 4, kernel: 3, norm: batch_norm, activation: relu}
  - dropout: 0.5
  - conv: {channels: 4, kernel: 3, padding: same}
  - max_pool: 2
  - flatten
  - dense: 2
"""

SEVERAL = """
name: several
inputs: {left: [2, 6, 6], right: [2, 6, 6]}
outputs: {label: dense1, relu1: tower}
layers:
  - add:
      l: [conv: {channels: 2, kernel: 3, name: tower}]
      r: [from: right, conv: {channels: 2, kernel: 3, share: tower, name: twin}]
  - relu
  - global_avg_pool
  - dense: 3
"""


def random_weights(graph: Any, seed: int = 1) -> Arrays:
    """Weights and statistics none of which is zero or one."""
    numbers = np.random.default_rng(seed)
    return {name: numbers.uniform(0.5, 1.5, p.shape).astype(np.float32) for name, p in graph.parameters.items()}


def run(path: Path, inputs: Arrays) -> Arrays:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


class TestModel:
    def test_names_are_those_of_the_spec(self, path: Path) -> None:
        spec = cnnspec.loads(NORMED)
        export_onnx(spec, path, random_weights(spec.graph), training=True)
        graph = onnx.load(path).graph
        assert [node.name for node in graph.node] == [node.name for node in spec.graph.nodes if node.inputs]
        assert all(node.output[0] == node.name for node in graph.node)
        assert {tensor.name for tensor in graph.initializer} >= set(spec.graph.parameters)
        shapes = {info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
                  for info in [*graph.input, *graph.output, *graph.value_info]}  # fmt: skip
        assert shapes == {node.name: ["batch", *node.shape] for node in spec.graph.nodes}

    def test_folded_arrays_are_traced_to_those_of_the_spec(self, path: Path) -> None:
        spec = cnnspec.loads(NORMED)
        exported = export_onnx(spec, path, random_weights(spec.graph))
        found = onnx.load(path)
        assert [node.op_type for node in found.graph.node] == ["Conv", "Relu", "Conv", "MaxPool", "Flatten", "Gemm"]
        assert exported.details["nodes"] == 6
        folded = json.loads({p.key: p.value for p in found.metadata_props}["cnnspec.folded"])
        norm = [f"batch_norm1.{key}" for key in ("weight", "bias", "running_mean", "running_var")]
        assert folded == {f"batch_norm1:{key}": ["first.weight", *norm] for key in ("weight", "bias")}
        assert {tensor.name for tensor in found.graph.initializer} == {
            *folded, "conv2.weight", "conv2.bias", "dense1.weight", "dense1.bias",
        }  # fmt: skip

    def test_metadata(self, path: Path) -> None:
        spec = cnnspec.loads(NORMED)
        export_onnx(spec, path)
        found = onnx.load(path)
        metadata = {p.key: p.value for p in found.metadata_props}
        assert found.producer_name == "cnnspec"
        assert metadata["cnnspec.version"] == found.producer_version == cnnspec.__version__
        assert cnnspec.loads(metadata["cnnspec.spec"]).graph.nodes[-1].shape == (2,)
        assert json.loads(metadata["cnnspec.classes"]) == {"dense1": ["cat", "dög"]}
        assert json.loads(metadata["cnnspec.preprocessing"]) == {
            "input": {"scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.25], "fit": "exact"}
        }

    def test_preprocessing_in_the_model(self, path: Path) -> None:
        spec = cnnspec.loads(NORMED)
        weights = random_weights(spec.graph)
        exported = export_onnx(spec, path, weights, preprocess=True)
        assert exported.difference is not None
        assert "cnnspec.preprocessing" not in {p.key for p in onnx.load(path).metadata_props}
        pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
        y = cnnspec.build(spec, weights=weights).predict(scaled(pixels, spec.input))
        actual = run(path, {"input": pixels.astype(np.float32)})["dense1"]
        assert difference(y, actual).relative < 1e-5

    def test_several_inputs_and_outputs_with_their_names(self, path: Path) -> None:
        """An output may have the name of another layer, whose value then is called otherwise."""
        spec = cnnspec.loads(SEVERAL)
        exported = export_onnx(spec, path, random_weights(spec.graph))
        assert exported.difference is not None
        graph = onnx.load(path).graph
        assert [value.name for value in graph.input] == ["left", "right"]
        assert [value.name for value in graph.output] == ["label", "relu1"]
        arrays = [tensor.name for tensor in graph.initializer]
        assert arrays.count("tower.weight") == 1
        assert not any(name.startswith("twin") for name in arrays)
        x = np.random.default_rng(0).standard_normal((2, 2, 2, 6, 6)).astype(np.float32)
        inputs = {"left": x[0], "right": x[1]}
        expected = cnnspec.build(spec, weights=random_weights(spec.graph)).run(inputs)
        actual = run(path, inputs)
        assert all(difference(expected[name], actual[name]).relative < 1e-5 for name in expected)

    def test_a_graph_without_text(self, path: Path) -> None:
        builder = GraphBuilder()
        builder.add("relu", Relu(), [builder.input((3,)).name])
        assert export_onnx(builder.graph(), path).details["opset"] == 17

    def test_arrays_called_like_layers(self, path: Path) -> None:
        builder = GraphBuilder()
        builder.input((4,))
        builder.add("dense", cnnspec.loads("input: [4]\nlayers: [dense: 4]\n").graph.output.layer, ["input"])
        builder.add("dense.weight", Relu(), ["dense"])
        assert export_onnx(builder.graph(), path).difference is not None

    def test_an_output_called_like_an_input(self, path: Path) -> None:
        text = "input: [3]\noutputs: {input: tanh1}\nlayers: [relu, tanh]\n"
        with pytest.raises(ExportError, match="an input and an output are both called `input`"):
            export_onnx(Source("s", text), path)

    def test_equal_networks_give_equal_files(self, path: Path, tmp_path: Path) -> None:
        export_onnx("lenet", path, "lenet")
        export_onnx("lenet", tmp_path / "again.onnx", "lenet")
        assert path.read_bytes() == (tmp_path / "again.onnx").read_bytes()


class TestPrecision:
    def test_float16_keeps_its_edge_in_float32(self, path: Path) -> None:
        exported = export_onnx("lenet", path, "lenet", dtype="float16")
        assert exported.rounding is not None
        assert 0 < exported.rounding.relative < 5e-3
        assert path.stat().st_size < 100_000
        y = run(path, {"input": np.zeros((1, 1, 28, 28), np.float32)})["dense3"]
        assert (y.dtype, y.shape) == (np.float32, (1, 10))

    def test_float16_has_a_range(self, path: Path) -> None:
        spec = "input: [3]\nlayers:\n  - scale: {value: 70000, learn: false}\n"
        with pytest.raises(ExportError, match="numbers up to 70000, and those of float16 end at 65504"):
            export_onnx(Source("s", spec), path, dtype="float16")
        spec = "input: [30]\nlayers: [relu, scale: {value: 60000, learn: false}, sqrt]\n"
        with pytest.raises(ExportError, match=r"`scale1` has values up to .*, and the numbers of float16 end at 65504"):
            export_onnx(Source("s", spec), path, dtype="float16")
        assert not path.exists()

    def test_weights_of_8_bits(self, path: Path) -> None:
        exported = export_onnx("lenet", path, "lenet", quantize="int8")
        assert exported.rounding is not None
        assert 1e-4 < exported.rounding.relative < 0.1
        assert path.stat().st_size < 60_000
        found = onnx.load(path)
        assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in found.graph.node}
        assert "cnnspec.classes" in {p.key for p in found.metadata_props}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"dtype": "int4"}, "in float32 or float16, not in 'int4'"),
            ({"quantize": "int4"}, "quantized to int8, not to 'int4'"),
            ({"quantize": "int8", "dtype": "float16"}, "leave one of the two out"),
        ],
    )
    def test_unknown_data_types(self, path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ExportError, match=message):
            export_onnx("lenet", path, **options)


class TestFiles:
    @pytest.mark.parametrize("quantize", [None, "int8"])
    def test_numbers_beside_the_model(self, path: Path, monkeypatch: pytest.MonkeyPatch, quantize: str | None) -> None:
        """As above 2 GB, which protobuf cannot hold."""
        monkeypatch.setattr(files, "LIMIT", 100_000)
        exported = export_onnx("lenet", path, "lenet", quantize=quantize)
        assert exported.files == (path, path.with_name("model.onnx.data"))
        assert exported.difference is not None
        assert path.stat().st_size < 20_000
        x = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
        found = difference(cnnspec.build("lenet", weights="lenet").predict(x), run(path, {"input": x})["dense3"])
        assert found.relative < (0.1 if quantize else 1e-5)

    def test_a_file_is_replaced_once_the_new_one_is_verified(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text("old")
        monkeypatch.setattr(verification, "TOLERANCE", -1.0)
        with pytest.raises(ExportError):
            export_onnx("lenet", path)
        assert path.read_text() == "old"
        monkeypatch.undo()
        export_onnx("lenet", path)
        assert onnx.load(path).producer_name == "cnnspec"
        assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file or directory"):
            export_onnx("lenet", tmp_path / "nowhere" / "model.onnx")

    def test_memory_limit(self, path: Path) -> None:
        with pytest.raises(cnnspec.MemoryLimitError, match=r"the limit is 1\.0 MB"):
            export_onnx("resnet18", path, memory_limit=10**6)

    def test_weights_of_another_network(self, path: Path) -> None:
        with pytest.raises(cnnspec.WeightsError, match=r"conv1\.weight: expected"):
            export_onnx("resnet20", path, "lenet")


class TestProofs:
    """An emitter that is wrong is caught, and named."""

    def test_a_layer_that_computes_something_else(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(model.EMITTERS, "relu", lambda e, node, xs, own: e.add("Abs", xs))
        message = r"`relu1` \(relu\) differs by .* on the same inputs, and the outputs by"
        with pytest.raises(ExportError, match=message):
            export_onnx(cnnspec.loads(NORMED), path)
        assert not path.exists()

    def test_a_layer_of_another_shape(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(model.EMITTERS, "max_pool", lambda e, node, xs, own: xs[0])
        with pytest.raises(ExportError, match="is not valid ONNX"):
            export_onnx(cnnspec.loads(NORMED), path)

    def test_shapes_that_onnx_infers_otherwise(self) -> None:
        layers = "layers: [conv: {channels: 2, kernel: 3}, relu]\n"
        larger, smaller = (cnnspec.loads(f"input: [1, {n}, 5]\n{layers}").graph for n in (6, 5))
        written = model.to_onnx(larger, random_weights(larger))
        message = r"the shape \['batch', 2, 4, 3\] of `conv1`, and the network has \['batch', 2, 3, 3\]"
        with pytest.raises(ExportError, match=message):
            verification.check_shapes(written, smaller)

    def test_numbers_that_are_none(self, path: Path) -> None:
        exported = export_onnx(Source("s", "input: [50]\nlayers: [log, abs]\n"), path)
        assert exported.difference is not None
        assert exported.difference.relative < 1e-6

    def test_outputs_that_are_swapped(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = cnnspec.loads("input: [3]\noutputs: {a: tanh1, b: exp1}\nlayers: [tanh, exp]\n")
        swapped = {"a": spec.graph.by_name["exp1"], "b": spec.graph.by_name["tanh1"]}
        written = model.to_onnx

        def wrong(graph: Any, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(type(graph), "output_nodes", property(lambda self: swapped))
            try:
                return written(graph, *arguments, **options)
            finally:
                monkeypatch.undo()

        monkeypatch.setattr(model, "to_onnx", wrong)
        with pytest.raises(ExportError, match="computes something else"):
            export_onnx(spec, path)

    def test_rounding_that_the_network_amplifies_is_no_fault(self, path: Path) -> None:
        """The iteration of 3.7 · x · (1 − x) is chaotic."""
        step = "multiply: {x: [], rest: [conv: {channels: 1, kernel: 1, weight: -3.7, bias: 3.7}]}"
        first = "  - conv: {channels: 1, kernel: 5}\n  - sigmoid\n"
        text = f"input: [16, 12, 12]\nlayers:\n{first}  - repeat: {{times: 50, layers: [{step}]}}\n"
        exported = export_onnx(Source("chaos", text), path)
        assert exported.difference is not None
        assert exported.difference.relative > 1e-4
        assert exported.refined is not None
        assert exported.refined.how == "layer by layer"
        assert exported.refined.difference.relative < 1e-4

    def test_without_onnxruntime_the_evaluator_of_onnx_runs_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verification, "is_installed", lambda module: module != "onnxruntime")
        exported = export_onnx("lenet", path, "lenet")
        assert exported.engine == f"onnx {onnx.__version__}'s reference evaluator"
        assert exported.difference is not None
        monkeypatch.setitem(model.EMITTERS, "sigmoid", functions.EMITTERS["tanh"])
        with pytest.raises(ExportError, match=r"`sigmoid1` .*; the evaluator has faults of its own"):
            export_onnx("lenet", path, "lenet")

    def test_not_verified(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(model.EMITTERS, "dense", windows.EMITTERS["dense"])
        exported = export_onnx("lenet", path, "lenet", verify=False)
        assert (exported.engine, exported.difference, exported.to_dict()["verification"]) == (None, None, None)
        assert exported.bytes == path.stat().st_size


def test_without_onnx(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda module: False)
    with pytest.raises(cnnspec.BackendError, match=r'onnx is not installed: pip install "cnnspec\[onnx\]"'):
        export_onnx("lenet", path)


ZOO: dict[str, tuple[int, ...] | None] = {
    "alexnet": (3, 63, 63),
    "resnet18": (3, 32, 32),
    "mobilenet_v2": (3, 32, 32),
    "densenet121": (3, 32, 32),
    "shufflenet_v2_x1_0": (3, 32, 32),
    "squeezenet1_1": (3, 32, 32),
    "efficientnet_b0": (3, 32, 32),
    "convnext_tiny": (3, 32, 32),
    "regnet_y_400mf": (3, 32, 32),
    "inception_v3": (3, 75, 75),
    "unet_padded": (1, 32, 32),
    "m5": (1, 4000),
    "r3d_18": (3, 4, 32, 32),
    "lenet5": None,
    "separable28": None,
}


@pytest.mark.parametrize("name", ZOO)
def test_bundled_networks(name: str, path: Path) -> None:
    exported = export_onnx(cnnspec.load(name, input_shape=ZOO[name]), path)
    assert exported.difference is not None
    assert exported.difference.relative < 1e-4
