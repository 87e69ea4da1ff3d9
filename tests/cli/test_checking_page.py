"""docs/checking.md shows what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT, Cnnspec

SECTION = "## Costs, sizes and budgets\n"
_BLOCK = re.compile(r"^```text\n\$ cnnspec (.+)\n((?:.*\n)*?)```$", re.MULTILINE)


def shown() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "checking.md").read_text("utf-8")
    section = text[text.index(SECTION) + len(SECTION) :]
    return _BLOCK.findall(section.split("\n## ")[0])


@pytest.mark.parametrize(("command", "output"), shown(), ids=[command for command, _ in shown()])
def test_output(cnnspec: Cnnspec, command: str, output: str) -> None:
    """A line of … stands for lines that are left out."""
    printed = cnnspec(*shlex.split(command)).stdout
    for part in output.split("…\n"):
        assert part in printed


def test_the_error_of_the_readme(cnnspec: Cnnspec) -> None:
    layers = ["conv: {channels: 6, kernel: 5}", "sigmoid", "max_pool: 2"] * 2
    layers[3] = "conv: {channels: 16, kernel: 5}"
    items = "".join(f"  - {layer}\n" for layer in [*layers, "conv: {channels: 120, kernel: 5}"])
    Path("bad.yaml").write_text(f"input: [1, 28, 28]\nlayers:\n{items}", "utf-8")
    printed = cnnspec("check", "bad.yaml").output.split("\n\nbad: 1 error")[0].rstrip()
    assert f"```text\n{printed}\n```" in (ROOT / "README.md").read_text("utf-8")
