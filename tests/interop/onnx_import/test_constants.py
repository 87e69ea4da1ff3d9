"""Constants that an ONNX model makes in the size of its batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnspec.errors import ImportingError
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.interop.onnx_import.load import import_onnx

onnx = pytest.importorskip("onnx")

TOKEN = np.array([[[1.0, -2.0, 3.0, 0.5]]], np.float32)
BATCH = "s = Shape(x) zero = Constant<value_ints = [0]>() b = Gather(s, zero) "
SIZES = "one = Constant<value_ints = [1]>() four = Constant<value_ints = [4]>() sizes = Concat<axis = 0>(b, one, four) "


def model(tmp_path: Path, text: str, **constants: np.ndarray) -> Path:
    found = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    constants = {"token": TOKEN} | constants
    found.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    path = tmp_path / "model.onnx"
    onnx.save(found, path)
    return path


def imported(tmp_path: Path, body: str, n: str = "n", **constants: np.ndarray) -> ImportedNetwork:
    return import_onnx(model(tmp_path, f"agraph (float[{n}, 3, 4] x) => (y) {{ {body} }}", **constants))


EXPANDED = {
    "expand": "t = Expand(token, sizes)",
    "tile": "ones = Constant<value_ints = [1, 1]>() r = Concat<axis = 0>(b, ones) t = Tile(token, r)",
    "sum": "z = ConstantOfShape(sizes) t = Add(z, token)",
    "sizes of -1 are chosen": (
        "any = Constant<value_ints = [-1, -1]>() asked = Concat<axis = 0>(b, any) "
        "flat = Constant<value_ints = [-1]>() a = Reshape(asked, flat) "
        "three = Constant<value_ints = [3]>() o = ConstantOfShape<value = int64[1] {1}>(three) "
        "minus = Constant<value_int = -1>() m = Mul(o, minus) q = Equal(a, m) w = Where(q, o, a) t = Expand(token, w)"
    ),
    "reshaped": (
        "wide = Concat<axis = 0>(one, b, four) e = Expand(token, wide) back = Concat<axis = 0>(b, one, four) "
        "t = Reshape(e, back)"
    ),
    "its own size is read": (
        "e = Expand(token, sizes) u = Shape(e) c = Gather(u, zero) r = Concat<axis = 0>(c, one, four) t = Expand(e, r)"
    ),
    "transposed": (
        "wide = Concat<axis = 0>(one, b, four) e = Expand(token, wide) t = Transpose<perm = [1, 0, 2]>(e)"
    ),
}  # fmt: skip
"""Ways to give each sample a class token."""


@pytest.mark.parametrize("form", EXPANDED)
def test_a_class_token_is_a_border_and_a_position_embedding(tmp_path: Path, form: str) -> None:
    found = imported(tmp_path, f"{BATCH} {SIZES} {EXPANDED[form]} y = Concat<axis = 1>(t, x)")
    kinds = [node.kind for node in found.spec.graph.nodes if node.inputs and node.kind != "permute"]
    assert kinds == ["pad", "position_embedding"]
    assert found.spec.graph.output.shape == (4, 4)
    assert found.difference is not None


def test_tokens_at_both_ends_and_on_the_channels_are_joined(tmp_path: Path) -> None:
    ends = "t = Expand(token, sizes) z = ConstantOfShape(sizes) y = Concat<axis = 1>(t, x, t, z)"
    assert imported(tmp_path, f"{BATCH} {SIZES} {ends}").spec.graph.output.shape == (6, 4)
    column = "c = Concat<axis = 0>(b, w) t = Expand(v, c) y = Concat<axis = 2>(x, t)"
    constants = {"v": np.ones((1, 3, 1), np.float32), "w": np.array([3, 2])}
    assert imported(tmp_path, f"{BATCH} {column}", **constants).spec.graph.output.shape == (3, 6)


def test_a_token_of_each_sample_of_a_fixed_batch_is_one(tmp_path: Path) -> None:
    found = imported(tmp_path, "y = Concat<axis = 1>(token, x)", n="2", token=TOKEN.repeat(2, 0))
    assert found.arrays["position_embedding1.weight"].shape == (4, 4)
    assert found.difference is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "start = Constant<value_int = 0>() i = Constant<value_int = 0>() e = Gather(s, i) "
            "step = Constant<value_int = 1>() r = Range(start, e, step) f = Cast<to = 1>(r) "
            "places = Concat<axis = 0>(b, one, one) t = Reshape(f, places) y = Add(x, t)",
            "differ by sample",
        ),
        ("e = Expand(token, sizes) t = ReduceSum(e, zero) y = Concat<axis = 1>(t, x)", "differ by sample"),
        ("y = Concat<axis = 0>(again, x)", "along the batch"),
    ],
)
def test_constants_that_differ_by_sample_are_refused(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(ImportingError, match=reason):
        imported(tmp_path, f"{BATCH} {SIZES} {body}", again=np.ones((1, 3, 4), np.float32))


def test_tokens_that_differ_by_sample_of_a_fixed_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportingError, match="differs by sample"):
        imported(tmp_path, "y = Concat<axis = 1>(token, x)", n="2", token=np.concatenate([TOKEN, 2 * TOKEN]))
