"""`cnnspec export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cnnspec


@pytest.fixture(autouse=True)
def _libraries() -> None:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name)


def test_text(cnnspec: Cnnspec, tmp_path: Path) -> None:
    result = cnnspec("export", "lenet", "--weights", "lenet", "-o", "lenet.onnx")
    first, second, third = result.stdout.splitlines()
    assert first.startswith("lenet: ONNX model written to lenet.onnx, 180")
    assert second == "opset 17, ir version 8, nodes 12, initializers 10; weights lenet"
    assert third.startswith("verified: onnxruntime ")
    assert "computes what NumPy does for a batch of 1 or 3: it differs by" in third
    assert [path.name for path in tmp_path.iterdir()] == ["lenet.onnx"]


def test_json(cnnspec: Cnnspec) -> None:
    found = json.loads(
        cnnspec("export", "lenet", "-o", "m.onnx", "--opset", "19", "--seed", "3", "--format=json").stdout
    )
    assert found["files"][0]["file"] == "m.onnx"
    assert found["files"][0]["bytes"] > 177_000
    assert (found["format"], found["opset"], found["dtype"], found["rounding"]) == ("onnx", 19, "float32", None)
    assert (found["weights"], found["seed"]) == (None, 3)
    assert found["verification"]["batches"] == [1, 3]
    assert found["verification"]["relative"] < found["verification"]["tolerance"] == 1e-4


def test_precision(cnnspec: Cnnspec) -> None:
    for options, name in ((("--dtype", "float16"), "float16"), (("--quantize", "int8"), "int8")):
        lines = cnnspec("export", "lenet", "-o", "m.onnx", *options, "--preprocess").stdout.splitlines()
        assert lines[1].endswith("; weights drawn at random from seed 0, not trained")
        assert lines[2].startswith("verified: in float32, onnxruntime")
        assert lines[3].startswith(f"{name}: its outputs differ by ")


def test_not_verified(cnnspec: Cnnspec) -> None:
    assert cnnspec("export", "lenet", "-o", "m.onnx", "--no-verify").stdout.splitlines()[2] == "not verified"


@pytest.mark.parametrize(("file", "format"), [("m.pt", "torchscript"), ("m.pt2", "pt2"), ("m.ONNX", "onnx")])
def test_the_ending_names_the_format(cnnspec: Cnnspec, file: str, format: str) -> None:
    if format != "onnx":
        pytest.importorskip("torch")
    found = json.loads(cnnspec("export", "mlp", "-o", file, "--format", "json").stdout)
    assert found["format"] == format
    assert found["verification"]["relative"] < 1e-4


def test_parameters_and_another_input(cnnspec: Cnnspec) -> None:
    arguments = ("export", "resnet", "-o", "m.model", "--to", "onnx", "--set", "classes=7", "--input", "3x32x32")
    result = cnnspec(*arguments)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["lenet", "-o", "m.xyz"],
            2,
            "`m.xyz` does not end in .onnx, .pt, .ts, .torchscript, .pt2 or .py: name the format",
        ),
        (["lenet", "-o", "m.pt2", "--opset", "18"], 2, "`--opset`: there is no such option for pt2"),
        (["lenet", "-o", "m.pt", "--training", "--dtype=float16"], 2, "`--training` and `--dtype`: there is no such"),
        (["lenet"], 2, "Missing option '-o'"),
        (["lenet", "-o", "m.onnx", "--opset", "99"], 1, "the opset 99 is not written: it is a number from 17 to"),
        (["lenet", "-o", "nowhere/m.onnx"], 1, "nowhere/m.onnx: No such file or directory"),
        (["resnet20", "-o", "m.onnx", "--weights", "lenet"], 1, "lenet does not fit the network `resnet20`"),
        (["lenet", "-o", "m.onnx", "--memory-limit", "1kB"], 1, "the limit is 1.0 kB"),
        (["lenet", "-o", "m.onnx", "--quantize", "int8", "--dtype", "float16"], 1, "leave one of the two out"),
        (["nothing", "-o", "m.onnx"], 1, "there is no such file"),
    ],
)
def test_errors(cnnspec: Cnnspec, tmp_path: Path, arguments: list[str], status: int, message: str) -> None:
    result = cnnspec("export", *arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
