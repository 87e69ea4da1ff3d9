"""A notebook in a real kernel of Jupyter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

CELLS = [
    "import cnnspec, numpy as np\nspec = cnnspec.load('lenet')\nspec.graph",
    "spec",
    "cnnspec.check(cnnspec.Source('bad.yaml', 'input: [1, 4, 4]\\nlayers: [conv: {channels: 2, kernel: 9}]\\n'))",
    "model = cnnspec.build(spec, weights='lenet')\nmodel",
    "model.feature_maps(np.zeros((1, 1, 28, 28)), ['conv*'])",
    "cnnspec.evaluate('net.yaml', 'data.npz', split='train')[2]",
    "cnnspec.train('net.yaml', 'data.npz', folder='run')[1]",
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="its event loop is another")
def test_what_a_kernel_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "backends")]))
    (tmp_path / "net.yaml").write_text("input: [4]\nlayers: [dense: 3]\ntrain: {epochs: 2, batch: 8}\n")
    import numpy as np

    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(32, 4)), y=np.arange(32) % 3)
    book: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    for cell in book.cells:
        (result,) = [output for output in cell.outputs if output.output_type == "execute_result"]
        assert {"text/plain", "text/html"} <= result.data.keys()
        assert result.data["text/html"].startswith('<div class="cnnspec-view">')
    assert "data:image/svg+xml" in book.cells[0].outputs[0].data["text/html"]
    assert "kernel-too-large" in book.cells[2].outputs[0].data["text/plain"]
    assert "data:image/png" in book.cells[4].outputs[0].data["text/html"]
