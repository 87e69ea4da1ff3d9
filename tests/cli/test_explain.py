"""The pages of the codes: one for each, and their specs do what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Cnnspec

import cnnspec as package
from cnnspec.diagnostics import PAGES, Source, codes
from cnnspec.view.code_pages import diagnostics_of_example, invalid_example

CODES = codes()

PROSE_ONLY = {"unreadable-file", "not-text", "file-too-large", "endless-extends", "too-many-faults", "over-budget"}
"""Codes about files, or that take a thousand faults to raise."""


def page(code: str) -> str:
    return CODES[code].text


BLOCK = re.compile(r"^```yaml\n# (.+)\n((?:.*\n)*?)```$", re.MULTILINE)


def test_every_code_has_one_section() -> None:
    assert re.findall(r"^## (.+)$", PAGES.read_text(encoding="utf-8"), re.MULTILINE) == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_page(code: str) -> None:
    heads = [head for head, _ in BLOCK.findall(page(code))]
    assert page(code).count("```") == 2 * len(heads)
    assert heads in ([[]] if code in PROSE_ONLY else [["error"], ["error", "fixed"]])
    assert 2 <= len(re.findall(r"\.(?: |$)", page(code).split("\n\n")[0])) <= 3, "two or three sentences"


@pytest.mark.parametrize("code", [code for code in CODES if code not in PROSE_ONLY])
def test_the_invalid_spec_has_that_error_alone(code: str) -> None:
    assert invalid_example(code) is not None
    assert [d.code for d in diagnostics_of_example(code)] == [code]


@pytest.mark.parametrize("code", [code for code in CODES if "# fixed" in page(code)])
def test_the_fixed_spec_is_clean(code: str) -> None:
    text = dict(BLOCK.findall(page(code)))["fixed"]
    report = package.check(Source("<example>", text))
    assert report.ok
    assert report.diagnostics == ()


def test_explain_shows_the_page_and_what_the_checker_says(cnnspec: Cnnspec) -> None:
    result = cnnspec("explain", "needs-vector")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "needs-vector: a dense layer gets an image"
    assert page("needs-vector") in result.stdout
    said = lines[lines.index("error[needs-vector]: `dense1` takes a vector, and gets an image of 6×24×24") :]
    assert "  --> <example>:5:5" in said
    assert "5 |   - dense: 10" in said


def test_explain_a_code_without_an_example(cnnspec: Cnnspec) -> None:
    result = cnnspec("explain", "not-text")
    assert result.exit_code == 0
    assert result.stdout == f"not-text: {CODES['not-text'].summary}\n\n{page('not-text')}\n"


def test_explain_lists_the_codes(cnnspec: Cnnspec) -> None:
    lines = cnnspec("explain").stdout.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == [(code, found.summary) for code, found in CODES.items()]


def test_an_unknown_code(cnnspec: Cnnspec) -> None:
    result = cnnspec("explain", "need-vector")
    assert result.exit_code == 1
    assert result.stderr == "error: no diagnostic has the code `need-vector`; did you mean `needs-vector`?\n"
    assert not result.stdout


def test_the_pages_of_the_docs(cnnspec: Cnnspec) -> None:
    """docs/diagnostics.md is what `cnnspec explain --all` prints; write it anew where this fails."""
    pages = Path(__file__).parents[2] / "docs" / "diagnostics.md"
    assert cnnspec("explain", "--all").stdout == pages.read_text(encoding="utf-8")
