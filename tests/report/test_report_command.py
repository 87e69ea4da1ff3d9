"""`cnnspec report`: what it writes, and what it says where that cannot be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_samples import trained_run

pytest.importorskip("jinja2", reason="the extra `report` is not installed")
pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
pytest.importorskip("PIL", reason="the extra `report` is not installed")

Cnnspec = Callable[..., Any]


def test_a_report_is_one_file(cnnspec: Cnnspec, tmp_path: Path) -> None:
    result = cnnspec("report", "lenet", "--weights", "lenet", "--input", "boot.png")
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert result.output.startswith("report.html: 1")
    assert "Feature maps of boot.png" in (tmp_path / "report.html").read_text("utf-8")


def test_of_a_run_alone(cnnspec: Cnnspec, tmp_path: Path) -> None:
    run = trained_run(tmp_path)
    result = cnnspec("report", run, "-o", "run.html", "--samples", "5")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "run.html").read_text("utf-8")
    assert "5 of 12 samples" in text
    assert "cnnspec train --record histograms" in text


def test_the_backend_of_the_run_computes_unless_another_is_named(cnnspec: Cnnspec, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = trained_run(tmp_path, backend="torch")
    for options, backend in (((), "torch"), (("--backend", "numpy"), "numpy")):
        assert cnnspec("report", run, "-o", "run.html", *options).exit_code == 0
        assert f"computed with {backend} on cpu" in (tmp_path / "run.html").read_text("utf-8")


def test_a_spec_at_fault_is_shown_with_its_diagnostics(cnnspec: Cnnspec, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("input: [1, 8, 8]\nlayers: [conv: {channels: 3, kernel: 9}]\n")
    result = cnnspec("report", "bad.yaml")
    assert result.exit_code == 1
    assert "error[kernel-too-large]" in result.stderr
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("lenet", "--run", "nowhere"), 1, "nowhere is no folder of a run"),
        (("lenet", "--input", "nowhere.png"), 1, "there is no file `nowhere.png`"),
        (("lenet", "--weights", "nowhere"), 1, "nowhere"),
        (("lenet", "-o", "nowhere/report.html"), 1, "nowhere/report.html: No such file or directory"),
        (("lenet", "--samples", "0"), 2, "--samples"),
    ],
)
def test_mistakes(cnnspec: Cnnspec, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = cnnspec("report", *arguments)
    assert result.exit_code == status
    assert message in result.stderr


def test_a_run_has_its_own_spec(cnnspec: Cnnspec, tmp_path: Path) -> None:
    run = trained_run(tmp_path)
    result = cnnspec("report", run, "--set", "c=1")
    assert result.exit_code == 2
    assert "a run has its own spec" in result.stderr


def test_without_the_extra(cnnspec: Cnnspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnspec.interop.requirements.is_installed", lambda name: name != "jinja2")
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # to import it, which takes long, would be an error
    result = cnnspec("report", "lenet")
    assert result.exit_code == 1
    assert 'jinja2 is not installed: pip install "cnnspec[report]"' in result.stderr
