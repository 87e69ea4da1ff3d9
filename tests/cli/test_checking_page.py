"""docs/checking.md shows what the commands print."""

from __future__ import annotations

import re
import shlex

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
