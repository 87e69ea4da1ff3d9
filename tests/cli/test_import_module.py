"""`cnnspec import package.module:factory` and `weights convert --module`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnspec.cli import main

torch = pytest.importorskip("torch")

NETS = """
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(4 * 4 * 4, classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))

class Odd(nn.Module):
    def forward(self, x):
        return x.roll(1, 2)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "import_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cnnspec(*args: str) -> str:
    result = CliRunner().invoke(main, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return f"{result.exit_code}: {result.output}"


def test_a_module_is_written_as_a_spec_with_weights(folder: Path) -> None:
    said = cnnspec("import", "import_nets.py:Net(classes=3)", "--input", "1x8x8")
    assert said.startswith("0: net: "), said
    assert "verified: the outputs differ from those of import_nets.py:Net(classes=3) by" in said
    assert "name: features.0" in (folder / "net.yaml").read_text()
    assert cnnspec("check", "net.yaml").startswith("0:")
    assert cnnspec("run", "net.yaml", "--weights", "net.safetensors").startswith("0:")


def test_a_comparison_that_takes_more_memory_than_the_limit_is_an_error(folder: Path) -> None:
    arguments = ("import", "import_nets.py:Net", "--input", "1x8x8", "--memory-limit")
    said = cnnspec(*arguments, "1KiB")
    assert said.startswith("1: ")
    assert "the limit is 1.0 kB. Raise it with --memory-limit" in said
    assert not (folder / "net.yaml").exists()


def test_a_state_dict_is_loaded_first_and_one_that_does_not_fit_is_an_error(folder: Path) -> None:
    state = {"features.0.weight": torch.ones(4, 1, 3, 3), "features.0.bias": torch.zeros(4)}
    torch.save(state | {"head.weight": torch.ones(5, 64), "head.bias": torch.zeros(5)}, folder / "net.pth")
    assert cnnspec("import", "import_nets.py:Net", "--input", "1x8x8", "--weights", "net.pth").startswith("0:")
    shown = json.loads(cnnspec("weights", "show", "net.safetensors", "--format", "json").removeprefix("0: "))
    assert {tensor["name"] for tensor in shown["tensors"]} == {*state, "head.weight", "head.bias"}
    torch.save(state, folder / "half.pth")
    said = cnnspec("import", "import_nets.py:Net", "--input", "1x8x8", "--weights", "half.pth", "--force")
    assert said.startswith("1: ")
    assert "2 tensors missing: head.weight, head.bias" in said


def test_nothing_is_written_after_an_error(folder: Path) -> None:
    for model, options, code, message in (
        ("import_nets.py:Odd", ["--input", "1x8x8"], 1, "aten.roll.default"),
        ("import_nets.py:Net", [], 2, "--input 3x224x224"),
        ("import_nets.py:Net", ["--input", "1x8x8", "--unbatched"], 2, "--unbatched is for ONNX files"),
        ("import_nets.py:Net", ["--input", "y=1x8x8"], 1, "takes `x`: name each input"),
        ("import_nets.py:Nut", ["--input", "1x8x8"], 1, "has no `Nut`; it has `Net`, `Odd`"),
        ("net.onnx", ["--names", "kind"], 2, "only with a PyTorch module"),
    ):
        said = cnnspec("import", model, *options)
        assert said.startswith(f"{code}: "), said
        assert message in said
    assert not list(folder.glob("*.yaml")) + list(folder.glob("*.safetensors"))


def test_weights_are_converted_by_the_module_of_the_file(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "input: [1, 8, 8]\nlayers: [conv: {channels: 4, kernel: 3, padding: same, activation: relu}, max_pool: 2, "
        "flatten, dense: 5]\n"
    )
    state = {"features.0.weight": torch.randn(4, 1, 3, 3), "features.0.bias": torch.randn(4)}
    torch.save(state | {"head.weight": torch.randn(5, 64), "head.bias": torch.randn(5)}, folder / "net.pth")
    convert = ["weights", "convert", "mine.yaml", "--from", "net.pth", "-o", "mine.safetensors"]
    said = cnnspec(*convert, "--module", "import_nets.py:Net")
    assert said.startswith("0:"), said
    assert "assigned by what each layer reads; the outputs differ by" in said
    assert cnnspec("run", "mine.yaml", "--weights", "mine.safetensors").startswith("0:")
    assert cnnspec(*convert, "--module", "import_nets.py:Net", "--ignore", "x").startswith("2:")
