"""`cnnspec show`: on the terminal, to files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Cnnspec

BRANCHES = """\
cnnspec: 1
name: net
input: [4, 8, 8]
layers:
  - add: {main: [conv: {channels: 4, kernel: 3, padding: same}], skip: []}
  - relu
"""


def test_it_draws_on_the_terminal(cnnspec: Cnnspec) -> None:
    Path("net.yaml").write_text(BRANCHES, "utf-8")
    assert (
        cnnspec("show", "net.yaml").output
        == """\
net
3 layers, 148 parameters, 9,216 MACs

     ┌──────────────┐
     │ input  4×8×8 │
     └───────┬──────┘
             ├───────────────┐
             ▼               │
┌────────────────────────┐   │
│ conv1            4×8×8 │   │
│ conv 3×3               │   │
│ 148 params · 9.2k MACs │   │
└────────────┬───────────┘   │
             ├───────────────┘
             ▼
┌────────────────────────┐
│ add1             4×8×8 │
│ + relu                 │
└────────────┬───────────┘
             ▼
    ┌────────────────┐
    │ output   4×8×8 │
    └────────────────┘
"""
    )


def test_it_fits_the_terminal(cnnspec: Cnnspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, cnnspec("show", "unet").output.splitlines())) <= 60


def test_ascii_where_the_terminal_has_nothing_else(process: Any) -> None:
    result: CompletedProcess[str] = process("show", "lenet", env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0, result.stderr
    assert "| conv1              6x24x24 |" in result.stdout
    assert "?" not in result.stdout


@pytest.mark.parametrize("view", ["graph", "stack"])
@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<svg "), ("png", b"\x89PNG"), ("SVG", b"<svg ")])
def test_it_writes_files(cnnspec: Cnnspec, view: str, ending: str, begins: bytes) -> None:
    if ending == "png":
        pytest.importorskip("PIL", reason="Pillow is not installed")
    result = cnnspec("show", "lenet", "--view", view, "-o", f"net.{ending}")
    assert result.exit_code == 0
    assert result.output.startswith(f"lenet: diagram written to net.{ending}, ")
    assert Path(f"net.{ending}").read_bytes().startswith(begins)
    assert [path.name for path in Path().iterdir()] == [f"net.{ending}"]


def test_themes_differ(cnnspec: Cnnspec) -> None:
    texts = set()
    for theme in ("auto", "light", "dark"):
        assert cnnspec("show", "lenet", "-o", "net.svg", "--theme", theme).exit_code == 0
        texts.add(Path("net.svg").read_text("utf-8"))
    assert len(texts) == 3


def test_depth_block_input_and_parameters(cnnspec: Cnnspec) -> None:
    assert "▸ stage1" in cnnspec("show", "resnet50", "--depth", "0").output
    assert "▾ stage1" in cnnspec("show", "resnet50", "--depth", "1").output
    alone = cnnspec("show", "resnet50", "--block", "stage1.unit1").output
    assert alone.startswith("resnet50: stage1.unit1\n10 layers, 70,400 parameters")
    assert "conv3" in alone
    assert "▾ unit2" in cnnspec("show", "resnet50", "--block", "stage1").output
    assert "3×64×64" in cnnspec("show", "resnet50", "--input", "3x64x64").output
    assert "100" in cnnspec("show", "resnet50", "--set", "classes=100").output.splitlines()[-2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet", "-o", "net.gif"), "`net.gif` does not end in .svg or .png, which can be written"),
        (("lenet", "-o", "net"), "`net` does not end in .svg or .png, which can be written"),
        (("lenet", "--theme", "dark"), "--theme is for a file: add -o net.svg or -o net.png"),
        (("lenet", "-o", "net.png", "--theme", "auto"), "a PNG has colours of its own"),
        (("lenet", "--view", "stack"), "--view stack is written to a file: add -o net.svg or -o net.png"),
        (("lenet", "--view", "stack", "-o", "n.svg", "--depth", "1"), "--view stack has no blocks"),
        (("lenet", "--depth", "-1"), "-1 is not in the range"),
    ],
)
def test_wrong_usage(cnnspec: Cnnspec, arguments: tuple[str, ...], message: str) -> None:
    result = cnnspec("show", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50", "--view", "stack", "-o", "net.svg"), "`resnet50` is no chain, "),
        (("resnet50", "--block", "stag1"), "`resnet50` has no block `stag1`: did you mean `stage1`?"),
        (("googlenet", "--block", "x"), "`googlenet` has no block `x`: it has stem, inception3a, "),
        (("lenet", "--block", "x"), "`lenet` has no block `x`: it has no blocks with a name"),
        (("nothing.yaml",), "nothing.yaml"),
        (("lenet", "-o", "no/such/folder/net.svg"), "no/such/folder/net.svg: No such file or directory"),
    ],
)
def test_what_is_at_fault(cnnspec: Cnnspec, arguments: tuple[str, ...], message: str) -> None:
    result = cnnspec("show", *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert [*Path().iterdir()] == []


def test_a_spec_with_errors_shows_them(cnnspec: Cnnspec) -> None:
    Path("net.yaml").write_text(BRANCHES.replace("kernel: 3", "kernel: 30, stride: 2"), "utf-8")
    result = cnnspec("show", "net.yaml", "-o", "net.svg")
    assert result.exit_code == 1
    assert "error[" in result.output
    assert not Path("net.svg").exists()
