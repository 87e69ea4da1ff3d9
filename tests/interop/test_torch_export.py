"""Networks as TorchScript files and programs of torch.export: they run on batches of any size, without cnnspec."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

import cnnspec
from cnnspec.errors import ExportError
from cnnspec.interop import requirements, torch_export
from cnnspec.interop.torch_export import export_torch
from cnnspec.testing import Case
from cnnspec.testing.cases import CASES

torch = pytest.importorskip("torch")

FORMATS = pytest.mark.parametrize("format", ["torchscript", "pt2"])

SEVERAL = """
name: several
inputs: {left: [2, 6, 6], right: [2, 6, 6]}
outputs: {label: dense1, features: relu1}
layers:
  - add:
      l: [conv: {channels: 2, kernel: 3, name: tower}]
      r: [from: right, conv: {channels: 2, kernel: 3, share: tower}]
  - batch_norm
  - relu
  - global_avg_pool
  - dense: 3
"""


CASE_OF_EACH_RANK = list({(case.kind, len(case.input)): case for case in reversed(CASES)}.values())
CASE_OF_EACH_KIND = list({case.kind: case for case in reversed(CASES)}.values())


@pytest.mark.parametrize("case", CASE_OF_EACH_RANK, ids=str)
def test_every_kind_as_torchscript(case: Case, tmp_path: Path) -> None:
    assert export_torch(case.graph(), tmp_path / "m.pt", "torchscript", case.weights()).difference is not None


@pytest.mark.parametrize("case", CASE_OF_EACH_KIND, ids=str)
def test_every_kind_as_a_program(case: Case, tmp_path: Path) -> None:
    assert export_torch(case.graph(), tmp_path / "m.pt2", "pt2", case.weights()).difference is not None


@FORMATS
def test_several_inputs_and_outputs(format: str, tmp_path: Path) -> None:
    assert export_torch(cnnspec.loads(SEVERAL), tmp_path / "m", format).difference is not None


@FORMATS
def test_the_file_needs_no_cnnspec(format: str, tmp_path: Path, process: Callable[..., CompletedProcess[str]]) -> None:
    spec = cnnspec.loads(SEVERAL)
    export_torch(spec, tmp_path / "m", format)
    x = np.random.default_rng(0).standard_normal((2, 5, 2, 6, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    load = "torch.jit.load('m')" if format == "torchscript" else "torch.export.load('m').module()"
    code = (
        "import sys, warnings, numpy, torch\nwarnings.simplefilter('ignore')\n"
        f"y = {load}(*map(torch.from_numpy, numpy.load('x.npy')))\n"
        "assert not any(name.startswith('cnnspec') for name in sys.modules)\n"
        "numpy.savez('y.npz', **{name: value.detach().numpy() for name, value in y.items()})\n"
    )
    result = process(code=code)
    assert result.returncode == 0, result.stderr
    expected = cnnspec.build(spec).run({"left": x[0], "right": x[1]})
    actual = np.load(tmp_path / "y.npz")
    assert set(actual) == set(expected) == {"label", "features"}
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-5)


def test_the_spec_is_in_the_archive(tmp_path: Path) -> None:
    export_torch("lenet", tmp_path / "m.pt", "torchscript", "lenet")
    extra = {torch_export.SPEC_FILE: b""}
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        loaded = torch.jit.load(tmp_path / "m.pt", _extra_files=extra)
    text = bytes(extra[torch_export.SPEC_FILE]).decode()
    assert cnnspec.loads(text).graph.output.shape == (10,)
    assert set(loaded.state_dict()) == set(cnnspec.load("lenet").graph.parameters)


@FORMATS
def test_a_file_that_computes_something_else(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(graph: cnnspec.Graph, weights: object, seed: int = 0) -> object:
        return cnnspec.to_torch(graph, seed=7)

    monkeypatch.setattr(torch_export, "to_torch", other)
    with pytest.raises(ExportError, match=f"the {format} file computes something else than the network"):
        export_torch("lenet", tmp_path / "m", format, "lenet")
    assert list(tmp_path.iterdir()) == []
    assert export_torch("lenet", tmp_path / "m", format, "lenet", verify=False).engine is None


@FORMATS
def test_rounding_that_the_network_amplifies_is_no_fault(format: str, tmp_path: Path) -> None:
    """The iteration of 3.7 · x · (1 − x) is chaotic."""
    step = "multiply: {x: [], rest: [conv: {channels: 1, kernel: 1, weight: -3.7, bias: 3.7}]}"
    first = "  - conv: {channels: 1, kernel: 5}\n  - sigmoid\n"
    text = f"input: [16, 12, 12]\nlayers:\n{first}  - repeat: {{times: 50, layers: [{step}]}}\n"
    exported = export_torch(cnnspec.loads(text), tmp_path / "m", format)
    assert exported.difference is not None
    assert exported.difference.relative > 1e-4
    assert exported.refined is not None
    assert exported.refined.how == "in float64"
    assert exported.refined.difference.relative < 1e-4


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="as torchscript or pt2, not as 'caffe'"):
        export_torch("lenet", tmp_path / "m", "caffe")


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda module: False)
    with pytest.raises(cnnspec.BackendError, match=r'torch is not installed: pip install "cnnspec\[torch\]"'):
        export_torch("lenet", tmp_path / "m", "pt2")
