"""What the checker says, word for word: tests/diagnostics/*.md hold specs and all that is rendered for each.

CNNSPEC_UPDATE_GOLDEN=1 rewrites them; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import cnnspec
from cnnspec.cli.common import settings
from cnnspec.diagnostics import CODES, Source, render

FOLDER = Path(__file__).parent / "diagnostics"
UPDATE = os.environ.get("CNNSPEC_UPDATE_GOLDEN") == "1"

ELSEWHERE = {
    "unreadable-file": "test_source.py",
    "not-text": "test_source.py",
    "file-too-large": "test_source.py",
    "alias-expansion": "test_source.py",
    "nesting-too-deep": "test_source.py",
    "number-too-long": "test_source.py",
}
"""Codes about files as a whole, or about texts that are too large to print: tested there."""

_FENCE = re.compile(r"^```(\w+)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


@dataclass
class Golden:
    """One section of a golden file: the spec, the files beside it, the parameters set, and what is rendered."""

    file: Path
    title: str
    files: dict[str, str]
    sets: tuple[str, ...]
    expected: str

    def rendered(self, folder: Path) -> str:
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        report = cnnspec.check("spec.yaml", params=settings(self.sets))
        return "\n\n".join(render(d) for d in report.diagnostics)

    def __str__(self) -> str:
        return f"{self.file.stem}: {self.title}"


def sections(file: Path) -> list[Golden]:
    found = []
    for section in re.split(r"^(?=## )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        files: dict[str, str] = {}
        sets: list[str] = []
        expected = ""
        for language, info, body in _FENCE.findall(section):
            words = info.split()
            if language == "text":
                expected = body
            elif words[:1] == ["--set"]:
                sets += words[1::2]
                files["spec.yaml"] = body
            else:
                files[words[0] if words else "spec.yaml"] = body
        found.append(Golden(file, section.splitlines()[0][3:], files, tuple(sets), expected.rstrip("\n")))
    return found


GOLDEN = [golden for file in sorted(FOLDER.glob("*.md")) for golden in sections(file)]


@pytest.mark.parametrize("golden", GOLDEN, ids=str)
def test_golden(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rendered = golden.rendered(tmp_path)
    if UPDATE:
        _rewrite(golden, rendered)
    else:
        assert rendered == golden.expected


def _rewrite(golden: Golden, rendered: str) -> None:
    text = golden.file.read_text(encoding="utf-8")
    head, start, section = text.partition(f"## {golden.title}\n")
    section, following, rest = section.partition("\n## ")
    section = re.sub(r"\n*```text\n(?:.*\n)*?```", "", section).rstrip("\n")
    section += f"\n\n```text\n{rendered}\n```\n"
    golden.file.write_text(head + start + section + following + rest, encoding="utf-8")


def test_titles_are_unique():
    names = [str(golden) for golden in GOLDEN]
    assert len(set(names)) == len(names)


# The codes


def test_every_code_is_shown():
    shown = {code for golden in GOLDEN for code in re.findall(r"^(?:error|warning)\[([a-z-]+)\]", golden.expected, re.M)}
    assert shown <= set(CODES)
    assert set(CODES) - shown == set(ELSEWHERE)


def test_codes_that_golden_files_cannot_show_are_tested():
    for code, file in ELSEWHERE.items():
        assert f'"{code}"' in (FOLDER.parent / file).read_text(encoding="utf-8"), code


def test_every_code_is_raised_somewhere():
    package = Path(cnnspec.__file__).parent
    code = "\n".join(file.read_text(encoding="utf-8") for file in package.rglob("*.py") if file.stem != "diagnostics")
    assert [name for name in CODES if f'"{name}"' not in code] == []
