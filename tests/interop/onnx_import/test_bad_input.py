"""Files that are no models, and models that are no networks: what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cnnspec
from cnnspec.cli import main
from cnnspec.errors import ImportingError
from cnnspec.interop.onnx_import.load import import_onnx
from cnnspec.weights import files

onnx = pytest.importorskip("onnx")


def save(tmp_path: Path, text: str, opset: int = 17, domain: str = "", **constants: np.ndarray) -> Path:
    opsets = f'"" : {opset}' + (f', "{domain}" : 1' if domain else "")
    model = onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]> {text}")
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, arguments)])


SMALL = "agraph (float[n, 4, 6, 6] x) => (y) { c = Conv(x, w) y = Relu(c) }"
WEIGHT = np.ones((3, 4, 3, 3), np.float32)


class TestFiles:
    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImportingError, match="there is no file"):
            import_onnx(tmp_path / "none.onnx")

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ImportingError, match="is a directory"):
            import_onnx(tmp_path)

    def test_a_file_that_is_cut_short(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(ImportingError, match="not a complete ONNX file"):
            import_onnx(path)

    @pytest.mark.parametrize("content", [b"", b"# a text\n", b"\x89PNG\r\n\x1a\n"])
    def test_another_format(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(ImportingError, match=r"not a complete ONNX file|not an ONNX model"):
            import_onnx(path)

    @pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "missing.bin"])
    def test_external_data_that_is_elsewhere(self, tmp_path: Path, place: str) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        model = onnx.load(path)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ImportingError, match="external data"):
            import_onnx(path)

    def test_an_opset_that_is_newer_than_the_library(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        model = onnx.load(path)
        model.opset_import[0].version = 999
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ImportingError, match=r"opset 999.*update onnx"):
            import_onnx(path)


class TestOperations:
    def test_all_operations_without_counterpart_are_listed_and_nothing_is_written(self, tmp_path: Path) -> None:
        text = (
            "agraph (float[n, 4, 6, 6] x) => (y, a, e) { c = Conv(x, w) a = Det(c) b = Relu(c) d = TopK2(b) "
            "e = NonZero(b) y = Relu(d) }"
        )
        path = save(tmp_path, text, w=WEIGHT)
        found = run(path)
        assert found.exit_code == 1
        assert "3 operations without counterpart" in found.stderr
        assert all(op in found.stderr for op in ("(Det)", "(TopK2)", "(NonZero)", "--partial"))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]

    def test_a_partial_import_ends_where_they_begin(self, tmp_path: Path) -> None:
        path = save(tmp_path, "agraph (float[n, 4, 6, 6] x) => (y) { c = Conv(x, w) y = NonZero(c) }", w=WEIGHT)
        found = run(path, "--partial")
        assert found.exit_code == 0, found.output
        assert "left out" in found.stderr
        spec = cnnspec.load(tmp_path / "model.yaml")
        assert [node.kind for node in spec.graph.nodes if node.inputs] == ["conv"]

    def test_another_domain(self, tmp_path: Path) -> None:
        path = save(tmp_path, "agraph (float[n, 4] x) => (y) { y = com.example.Thing(x) }", domain="com.example")
        with pytest.raises(ImportingError, match="its domain is com"):
            import_onnx(path)

    def test_control_flow(self, tmp_path: Path) -> None:
        text = (
            "agraph (float[n, 4] x) => (y) { s = Abs(x) y = If(s) <"
            "then_branch = t () => (float[n, 4] z) { z = Relu(x) }, "
            "else_branch = e () => (float[n, 4] z) { z = Neg(x) }> }"
        )
        with pytest.raises(ImportingError, match=r"\(If\): .*control flow"):
            import_onnx(save(tmp_path, text))

    def test_a_size_that_depends_on_the_input(self, tmp_path: Path) -> None:
        text = "agraph (float[n, 4] x) => (y) { s = NonZero(x) y = Reshape(x, s) }"
        with pytest.raises(ImportingError, match=r"\(NonZero\): no layer stands for it"):
            import_onnx(save(tmp_path, text))

    def test_a_part_that_is_an_output_and_no_layer_is_listed(self, tmp_path: Path) -> None:
        text = (
            "agraph (float[n, 4] x) => (y, e) { r = Constant<value_float = 1.4142135>() d = Div(x, r) e = Erf(d) "
            "one = Constant<value_float = 1.0>() p = Add(e, one) m = Mul(x, p) "
            "half = Constant<value_float = 0.5>() y = Mul(m, half) }"
        )
        with pytest.raises(ImportingError, match=r"\(Erf\): no layer stands for it"):
            import_onnx(save(tmp_path, text))

    def test_an_output_that_nothing_makes(self, tmp_path: Path) -> None:
        with pytest.raises(ImportingError, match=r"z \(output\): nothing computes it"):
            import_onnx(save(tmp_path, "agraph (float[n, 4] x) => (y, z) { y = Relu(x) }"))

    def test_a_sum_of_sizes_that_do_not_fit(self, tmp_path: Path) -> None:
        text = "agraph (float[n, 4, 6] x, float[n, 4, 3] z) => (y) { y = Add(x, z) }"
        with pytest.raises(ImportingError, match=r"\(Add\): a tensor of \[4, 3\] is added"):
            import_onnx(save(tmp_path, text))

    def test_the_batch_is_not_to_be_mixed(self, tmp_path: Path) -> None:
        with pytest.raises(ImportingError, match="it is over the batch"):
            import_onnx(save(tmp_path, "agraph (float[n, 4, 6] x) => (y) { y = ReduceMean<axes = [0]>(x) }"))

    def test_an_open_size_is_asked_for_and_taken(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL.replace("6, 6", "h, w2"), w=WEIGHT)
        found = run(path)
        assert found.exit_code == 1
        assert "[n, 4, h, w2]: only the batch can be free" in found.stderr
        assert run(path, "--input", "4x8x9").exit_code == 0
        assert cnnspec.load(tmp_path / "model.yaml").graph.output.shape == (3, 6, 7)


class TestFilesThatAreWritten:
    def test_a_spec_and_its_weights_run(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        found = run(path, "-o", tmp_path / "net.yaml")
        assert found.exit_code == 0, found.output
        assert "verified" in found.stdout
        graph = cnnspec.load(tmp_path / "net.yaml").graph
        assert files.read(tmp_path / "net.safetensors").keys() == graph.parameters.keys()
        y = cnnspec.build(graph, weights=tmp_path / "net.safetensors").predict(np.ones((1, 4, 6, 6), np.float32))
        np.testing.assert_array_equal(y, np.full((1, 3, 4, 4), 36.0))

    def test_a_comparison_that_takes_more_memory_than_the_limit_is_an_error(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        found = run(path, "--memory-limit", "100B")
        assert found.exit_code == 1
        assert "Raise it with --memory-limit" in found.stderr
        assert not path.with_suffix(".yaml").exists()
        assert run(path, "--memory-limit", "100B", "--no-verify").exit_code == 0

    def test_a_file_that_exists_stays_unless_forced(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        (tmp_path / "model.yaml").write_text("mine")
        found = run(path)
        assert found.exit_code == 2
        assert "--force" in found.stderr
        assert (tmp_path / "model.yaml").read_text() == "mine"
        assert run(path, "--force").exit_code == 0
        assert (tmp_path / "model.yaml").read_text().startswith("cnnspec: 1")

    def test_names_that_are_no_names_of_ours(self, tmp_path: Path) -> None:
        text = "agraph (float[n, 4, 6, 6] x) => (y) { c = Conv(x, w) y = Relu(c) }"
        path = save(tmp_path, text, w=WEIGHT)
        model = onnx.load(path)
        model.graph.output[0].name = model.graph.node[1].output[0] = "1:ö out/put"
        model.graph.input[0].name = model.graph.node[0].input[0] = "im age"
        path = tmp_path / "2 nets!.onnx"
        path.write_bytes(model.SerializeToString())
        assert run(path).exit_code == 0
        assert cnnspec.load(tmp_path / "2 nets!.yaml").name == "_2_nets"

    def test_names_of_several_outputs_stay_apart(self, tmp_path: Path) -> None:
        text = "agraph (float[n, 4, 6, 6] x, float[n, 4, 6, 6] z) => (y, u) { y = Relu(x) s = Tanh(z) u = Abs(s) }"
        path = save(tmp_path, text)
        model = onnx.load(path)
        for i, name in enumerate(("1:ö", "1_ä")):
            model.graph.output[i].name = model.graph.node[2 * i].output[0] = name
        for i, name in enumerate(("im age", "im/age")):
            model.graph.input[i].name = model.graph.node[i].input[0] = name
        path.write_bytes(model.SerializeToString())
        found = run(path)
        assert found.exit_code == 0, found.output
        graph = cnnspec.load(tmp_path / "model.yaml").graph
        assert graph.inputs == ("im_age", "im_age_2")
        assert graph.output_names == ("_1", "_1_2")

    def test_two_outputs_that_are_one_tensor(self, tmp_path: Path) -> None:
        text = "agraph (float[n, 4] x) => (y, z) { y = Relu(x) z = Identity(y) }"
        with pytest.raises(ImportingError, match="the outputs `y` and `z` of the model are one tensor"):
            import_onnx(save(tmp_path, text))


class TestModelsThatAreNotValid:
    """What ONNX's own checker would refuse is an error of ours too, and never a traceback."""

    def test_a_constant_with_too_few_numbers(self, tmp_path: Path) -> None:
        path = save(tmp_path, SMALL, w=WEIGHT)
        model = onnx.load(path)
        model.graph.initializer[0].dims[0] = 5
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ImportingError, match="the constant `w` of the model is not valid"):
            import_onnx(path)

    @pytest.mark.parametrize(
        "node",
        ["Conv<strides = [0, 1]>(x, w)", "Conv<pads = [1, 1, 1]>(x, w)", "Conv(x, u)", "Transpose<perm = [0, 9]>(x)",
         "Concat<axis = 1>(x, nothing)", "MaxPool(x)", "Slice(x, w, w)", "Gemm(w, x)", "Resize(x)",
         "Split<axis = 7>(x)", "Reshape(x, w)", "BatchNormalization(x, w, w, w, w)", "Pad(x, w)",
         "Squeeze<axes = [9]>(x)", "MaxPool()", "ReduceMean()"],
    )  # fmt: skip
    def test_an_operation_that_is_not_valid(self, tmp_path: Path, node: str) -> None:
        text = f"agraph (float[n, 4, 6, 6] x) => (y) {{ y = {node} }}"
        with pytest.raises(ImportingError, match=r"`.*` has 1 operation without counterpart"):
            import_onnx(save(tmp_path, text, w=WEIGHT, u=np.ones((3, 5, 3, 3), np.float32)))
