"""`check --strict` and `--notes`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cnnspec

TWICE = "input: [3, 8, 8]\nlayers: [max_pool: 3, relu, relu]\n"


@pytest.fixture
def twice(tmp_path: Path) -> str:
    (tmp_path / "twice.yaml").write_text(TWICE, "utf-8")
    return "twice.yaml"


def test_warnings_do_not_fail(cnnspec: Cnnspec, twice: str) -> None:
    result = cnnspec("check", twice)
    assert result.exit_code == 0
    assert "warning[activation-twice]" in result.stdout
    assert "every shape fits, 1 warning\n" in result.stdout
    assert "unread-border" not in result.stdout


@pytest.mark.parametrize("options", [(), ("--format", "concise"), ("--quiet",), ("--format", "json")])
def test_strict(cnnspec: Cnnspec, twice: str, options: tuple[str, ...]) -> None:
    result = cnnspec("check", twice, "--strict", *options)
    assert result.exit_code == 1
    assert "activation-twice" in result.stdout
    assert "warning" not in result.stdout


def test_notes(cnnspec: Cnnspec, twice: str) -> None:
    result = cnnspec("check", twice, "--notes")
    assert result.exit_code == 0
    assert "note[unread-border]" in result.stdout
    assert "every shape fits, 1 warning, 1 note\n" in result.stdout
    (report,) = [json.loads(cnnspec("check", twice, "--notes", "--format", "json").stdout)]
    assert [d["severity"] for d in report["diagnostics"]] == ["note", "warning"]


def test_notes_never_fail(cnnspec: Cnnspec, tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text("input: [3, 8, 8]\nlayers: [max_pool: 3]\n", "utf-8")
    assert cnnspec("check", "pool.yaml", "--notes", "--strict").exit_code == 0
