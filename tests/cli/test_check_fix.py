"""`check --fix` applies what is certain, and keeps everything else to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cnnspec

import cnnspec as package
from cnnspec.diagnostics import Source

KERAS = """\
# a network of somebody who comes from Keras
input: [1, 28, 28]

layers:
  - Conv2D: {filters: 32, kernel_size: 3, activation: relu}   # the first
  - MaxPooling2D: {pool_size: 2}
  - Flatten
  - Dropout: 50%
  - Dense: {units: 10}
"""
OURS = """\
# a network of somebody who comes from Keras
input: [1, 28, 28]

layers:
  - conv: {channels: 32, kernel: 3, activation: relu}   # the first
  - max_pool: {kernel: 2}
  - flatten
  - dropout: 0.5
  - dense: {units: 10}
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_everything_else_stays(cnnspec: Cnnspec, tmp_path: Path, ending: str, mark: bytes) -> None:
    file = tmp_path / "keras.yaml"
    file.write_bytes(mark + KERAS.replace("\n", ending).encode())
    result = cnnspec("check", "keras.yaml", "--fix")
    assert result.exit_code == 0
    assert file.read_bytes() == mark + OURS.replace("\n", ending).encode()
    assert "-  - Dropout: 50%" in result.stdout
    assert "+  - dropout: 0.5" in result.stdout
    assert "keras.yaml: 9 fixes applied\n" in result.stdout


def test_a_dry_run_writes_nothing(cnnspec: Cnnspec, tmp_path: Path) -> None:
    (tmp_path / "keras.yaml").write_text(KERAS, "utf-8")
    result = cnnspec("check", "keras.yaml", "--fix", "--dry-run")
    assert "+  - dropout: 0.5" in result.stdout
    assert "9 fixes would be applied" in result.stdout
    assert (tmp_path / "keras.yaml").read_text("utf-8") == KERAS


def test_what_is_left_is_shown(cnnspec: Cnnspec, tmp_path: Path) -> None:
    text = "input: [1, 28, 28]\nlayers:\n  - Conv2d: {out_channels: 3, kernel_size: 40}\n"
    (tmp_path / "bad.yaml").write_text(text, "utf-8")
    result = cnnspec("check", "bad.yaml", "--fix")
    assert result.exit_code == 1
    assert "error[kernel-too-large]" in result.stdout
    assert "bad.yaml: 3 fixes applied, 1 error left" in result.stdout


def test_without_fix_the_number_is_said(cnnspec: Cnnspec, tmp_path: Path) -> None:
    (tmp_path / "keras.yaml").write_text(KERAS, "utf-8")
    assert "keras: 9 errors, --fix applies 9 fixes\n" in cnnspec("check", "keras.yaml").stdout


def test_a_clean_file_is_not_written(cnnspec: Cnnspec, tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(OURS, "utf-8")
    before = file.stat().st_mtime_ns
    result = cnnspec("check", "good.yaml", "--fix")
    assert (result.exit_code, result.stdout) == (0, "good.yaml: 0 fixes applied\n")
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "arguments",
    [("lenet", "--fix"), ("-", "--fix"), ("good.yaml", "--dry-run"), ("good.yaml", "--fix", "--format", "json")],
)
def test_wrong_usage(cnnspec: Cnnspec, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "good.yaml").write_text(OURS, "utf-8")
    assert cnnspec("check", *arguments).exit_code == 2


def test_in_python() -> None:
    fixed = package.fix(Source("keras.yaml", KERAS))
    assert fixed.source.text == OURS
    assert fixed.report.ok
    assert all(found.certain for found in fixed.fixes)
