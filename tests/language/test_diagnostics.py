"""What the checker says, word for word: tests/diagnostics/*.md hold specs and all that is rendered for each.

CNNSPEC_UPDATE_GOLDEN=1 rewrites them; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from golden import rewrite

import cnnspec
from cnnspec.cli.common import parse_values
from cnnspec.diagnostics import Source, codes, format_diagnostic

FOLDER = Path(__file__).parent / "diagnostics"
UPDATE = os.environ.get("CNNSPEC_UPDATE_GOLDEN") == "1"

ELSEWHERE = {
    "not-text": "test_yaml_tree.py",
    "file-too-large": "test_yaml_tree.py",
    "alias-expansion": "test_yaml_tree.py",
    "nesting-too-deep": "test_yaml_tree.py",
    "number-too-long": "test_yaml_tree.py",
    "too-many-faults": "test_diagnostics.py",
    "over-budget": "../graph/test_budgets.py",
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
        notes = self.file.stem == "lints"
        report = cnnspec.check("spec.yaml", params=parse_values("--set", self.sets), notes=notes)
        return "\n\n".join(format_diagnostic(d) for d in report.diagnostics)

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
        rewrite(golden.file, golden.title, rendered)
    else:
        assert rendered == golden.expected


def test_titles_are_unique():
    names = [str(golden) for golden in GOLDEN]
    assert len(set(names)) == len(names)


# The codes


def test_every_code_is_shown():
    shown = {
        code for golden in GOLDEN for code in re.findall(r"^(?:error|warning|note)\[([a-z-]+)\]", golden.expected, re.M)
    }
    assert shown <= set(codes())
    assert set(codes()) - shown == set(ELSEWHERE)


def test_codes_that_golden_files_cannot_show_are_tested():
    for code, file in ELSEWHERE.items():
        assert f'"{code}"' in (FOLDER.parent / file).read_text(encoding="utf-8"), code


def test_every_code_is_raised_somewhere():
    package = Path(cnnspec.__file__).parent
    code = "\n".join(file.read_text(encoding="utf-8") for file in package.rglob("*.py"))
    assert [name for name in codes() if f'"{name}"' not in code] == []


def test_thirty_mistakes_are_thirty_diagnostics():
    (golden,) = (golden for golden in GOLDEN if golden.title == "Thirty mistakes")
    expected = {
        number: int(line.rsplit("# ")[1])
        for number, line in enumerate(golden.files["spec.yaml"].splitlines(), 1)
        if "# " in line
    }
    found = Counter(
        d.label.span.line for d in cnnspec.check(Source("spec.yaml", golden.files["spec.yaml"])).diagnostics
    )
    assert found == expected
    assert sum(found.values()) >= 30


# What cannot stand in a Markdown file


def rendered(text: str) -> str:
    return "\n\n".join(format_diagnostic(d) for d in cnnspec.check(Source("spec.yaml", text)).diagnostics)


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_every_line_ending_gives_the_same_diagnostics(ending):
    text = "input: [1, 8, 8]\nlayers:\n  - conv: {channels: 3, kernel: 9}\n  - reluu\n"
    assert rendered(text.replace("\n", ending)) == rendered(text)


def test_a_byte_order_mark_moves_nothing():
    text = "inptu: 3\ninput: [1, 8, 8]\nlayers: [relu]\n"
    assert [d.label.span[1:] for d in cnnspec.check(Source("x", "\ufeff" + text)).diagnostics] == [(1, 1, 1, 6)]


def test_tabs_inside_of_a_line_are_four_cells():
    lines = rendered("input: [1, 8, 8]\nlayers:\n  - conv: {channels: 3,\tkernel:\t0}\n").splitlines()
    assert lines[3] == "3 |   - conv: {channels: 3,    kernel:    0}"
    assert lines[4].index("^") == lines[3].index("0")


def test_combining_marks_take_no_cell():
    lines = rendered("input: [1, 8, 8]\nname: e\u0301e\u0301\nlayers: [{cafe\u0301: 1}]\n").splitlines()
    assert lines[3] == "3 | layers: [{cafe\u0301: 1}]"
    assert lines[4] == "  |           ^^^^"


def test_a_line_of_many_labels_far_apart_is_shown_in_pieces():
    layers = ", ".join(["relu"] * 100)
    text = f"input: [1, 8, 8]\nlayers: [conv: {{channels: 2, kernel: 1, name: a}}, {layers}, relu: {{name: a}}]\n"
    lines = rendered(text).splitlines()
    assert [line[:3] for line in lines[3:]] == ["2 |", "  |", "2 |", "  |"]
    marked = {lines[i][lines[i + 1].index(mark)] for i, mark in ((3, "^"), (5, "-"))}
    assert marked == {"a"}
    assert max(map(len, lines)) < 180


def test_control_characters_never_reach_the_terminal():
    shown = rendered('input: [1, 8, 8]\nlayers: ["relu\\e[31m", "a\\nb": 1, "\\u202Ex"]\n')
    assert all(ch.isprintable() or ch == "\n" for ch in shown)
    assert "`a\\nb`" in shown


def test_a_key_that_fills_a_page_is_shortened():
    shown = rendered(f"input: [1, 8, 8]\nlayers: [{'x' * 100_000}: 3]\n")
    assert len(shown) < 1000


def test_colours_wrap_words_and_change_no_text():
    report = cnnspec.check(Source("spec.yaml", "input: [1, 8, 8]\nlayers: [reluu]\n"))
    painted = format_diagnostic(report.diagnostics[0], lambda text, role: f"<{role}>{text}</{role}>" if role else text)
    assert "<error>error[unknown-kind]</error>" in painted
    assert re.sub(r"</?(error|bold|frame|note)>", "", painted) == format_diagnostic(report.diagnostics[0])


def test_no_more_faults_are_listed_than_anybody_reads():
    report = cnnspec.check(Source("x", "input: [1, 8, 8]\nlayers:\n" + "  - reluu\n" * 5000))
    assert len(report.diagnostics) == 1001
    assert "too-many-faults" in {d.code for d in report.diagnostics}


def test_to_dict_is_what_the_json_holds():
    (found,) = cnnspec.check(Source("spec.yaml", "input: [1, 8, 8]\nlayers: [reluu]\n")).diagnostics
    assert found.to_dict() == {
        "code": "unknown-kind",
        "severity": "error",
        "message": "no layer or block is called `reluu`",
        "file": "spec.yaml",
        "line": 2,
        "column": 10,
        "end_line": 2,
        "end_column": 15,
        "label": None,
        "others": [],
        "notes": [],
        "help": "did you mean `relu`?",
        "fixes": [
            {
                "title": "replace `reluu` with `relu`",
                "certain": True,
                "edits": [
                    {
                        "file": "spec.yaml",
                        "line": 2,
                        "column": 10,
                        "end_line": 2,
                        "end_column": 15,
                        "text": "relu",
                    }
                ],
            }
        ],
    }
