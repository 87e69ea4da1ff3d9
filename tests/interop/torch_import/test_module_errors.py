"""Modules that cannot come in, and places where there is none: each with an error that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cnnspec
from cnnspec.errors import ImportingError
from cnnspec.interop.torch_import.factory import is_reference, module_of, parsed

torch = pytest.importorskip("torch")
nn = torch.nn


def made(forward: Any) -> Any:
    return type("Made", (nn.Module,), {"forward": forward})()


def test_flow_that_depends_on_numbers() -> None:
    with pytest.raises(ImportingError, match=r"its flow depends on numbers .*test_module_errors.py:\d+"):
        cnnspec.from_torch(made(lambda self, x: x * 2 if (x.sum() > 0).item() else x), (3, 4, 4))


def test_an_input_that_does_not_fit() -> None:
    with pytest.raises(ImportingError, match=r"cannot be traced for \[n, 4, 8, 8\]: .* to have 3 channels"):
        cnnspec.from_torch(nn.Sequential(nn.Conv2d(3, 4, 3)), (4, 8, 8))


def test_all_operations_without_counterpart_are_listed_with_their_places() -> None:
    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.fft.fft(x).real + torch.roll(x, 1, 2)

    module = Odd()
    with pytest.raises(ImportingError, match="without counterpart") as caught:
        cnnspec.from_torch(module, (3, 4, 4))
    message = str(caught.value)
    assert "aten.roll.default" in message
    assert "fft" in message
    assert "test_module_errors.py, line" in message


def test_a_partial_import_ends_where_these_begin() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Any) -> Any:
            return torch.roll(self.conv(x), 1, 2)

    found = cnnspec.from_torch(Half(), (3, 8, 8), partial=True)
    assert [node.kind for node in found.spec.graph.nodes] == ["input", "conv"]
    assert [operation.op for operation in found.missing] == ["aten.roll.default"]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([(3, 8, 8), (3, 8, 8)], "takes `x`, and 2 examples were given"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), r"a tensor of floats \[n, c, ...\] or a shape"),
        ("3x8x8", "not '3x8x8'"),
    ],
)
def test_examples_that_are_none(example: Any, message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        cnnspec.from_torch(made(lambda self, x: x * 2), example)


def test_what_is_no_module_or_returns_no_tensor() -> None:
    with pytest.raises(ImportingError, match=r"is no torch\.nn\.Module"):
        cnnspec.from_torch(lambda x: x, (3, 8, 8))
    with pytest.raises(ImportingError, match="returns no tensor"):
        cnnspec.from_torch(made(lambda self, x: None), (3, 8, 8))
    with pytest.raises(ImportingError, match="no layers"):
        cnnspec.from_torch(made(lambda self, x: x), (3, 8, 8))


def test_a_threshold_below_which_softplus_is_another_function() -> None:
    with pytest.raises(ImportingError, match="`threshold` is 2"):
        cnnspec.from_torch(made(lambda self, x: torch.nn.functional.softplus(x, beta=10, threshold=2)), (3, 8, 8))


def test_an_operation_over_the_batch() -> None:
    with pytest.raises(ImportingError, match="over the batch"):
        cnnspec.from_torch(made(lambda self, x: x - x.mean(0, keepdim=True)), (3, 8, 8))


NETS = """
import torch.nn as nn

class Net(nn.Sequential):
    def __init__(self, channels=4, kernel=(3, 3)):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, kernel)

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3

def leaves():
    raise SystemExit(2)

ready = Net(2)
size = 7
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    path = tmp_path / "some_nets.py"
    path.write_text(NETS)
    return str(path)


def test_the_place_of_a_factory(nets: str) -> None:
    assert module_of(f"{nets}:Net").conv.out_channels == 4
    assert module_of(f"{nets}:Net(5, kernel=(1, 2))").conv.kernel_size == (1, 2)
    assert module_of(f"{nets}:ready").conv.out_channels == 2
    assert is_reference(f"{nets}:Net")
    assert not is_reference(nets)
    assert parsed("timm:create_model('resnet18', num_classes=10)").keywords == {"num_classes": 10}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{nets}:Nothing", "has no `Nothing`; it has .*`Net`"),
        ("{nets}:broken", "fails: RuntimeError: no weights here"),
        ("{nets}:leaves", "fails: SystemExit: 2"),
        ("{nets}:Net(**{{'channels': 2}})", "no numbers and texts as Python writes them"),
        ("{nets}:Net(1)(2)", "no numbers and texts as Python writes them"),
        ("{nets}:number", "makes a int, and no torch.nn.Module"),
        ("{nets}:size", "is a int, and no factory"),
        ("{nets}:Net(__import__('os'))", "no numbers and texts as Python writes them"),
        ("{nets}:Net(1", "no place of a module"),
        ("not_there_at_all:Net", "cannot be imported: ModuleNotFoundError"),
        ("not_there.py:Net", "there is no file `not_there.py`"),
    ],
)
def test_a_place_where_there_is_none(nets: str, place: str, message: str) -> None:
    with pytest.raises(ImportingError, match=message):
        module_of(place.format(nets=nets))


def test_a_file_imports_those_beside_it_and_hides_no_other_module(tmp_path: Path) -> None:
    (tmp_path / "sizes_of_nets.py").write_text("CHANNELS = 6\n")
    path = tmp_path / "json.py"
    path.write_text("from sizes_of_nets import CHANNELS\nimport torch.nn as nn\nnet = nn.Conv2d(3, CHANNELS, 1)\n")
    assert module_of(f"{path}:net").out_channels == 6
    import json

    assert json.loads("1") == 1


def test_code_that_does_not_parse(tmp_path: Path) -> None:
    (tmp_path / "broken_nets.py").write_text("def f(:\n")
    with pytest.raises(ImportingError, match="cannot be imported: SyntaxError"):
        module_of(f"{tmp_path / 'broken_nets.py'}:f")
