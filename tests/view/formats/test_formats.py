"""The formats of other tools, read as those tools read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import jsonschema
import pytest

import cnnspec
from cnnspec.diagnostics import Diagnostic, Edit, Fix, Label, Source, Span, codes
from cnnspec.language.project.checking import Checked, Settings, check_one
from cnnspec.view.formats import concise, github, gitlab, junit, sarif

# The schema of OASIS, as SchemaStore publishes it (Apache License 2.0).
SCHEMA = json.loads(Path(__file__).with_name("sarif-2.1.0-rtm.5.json").read_text("utf-8"))

BAD = """\
cnnspec: 1
input: [1, 28, 28]
layers:
  - conv: {channels: 6, kernel: 5, padding: 2}
  - max_pool: 2
  - conv: {channels: 6, kernel: 15}
  - flaten
"""


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Checked]:
    """A spec with two errors and a warning, and one without faults."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a dir").mkdir()
    (tmp_path / "a dir" / "bad.yaml").write_text(BAD, "utf-8")
    return [check_one(spec, Settings({})).checked for spec in ("a dir/bad.yaml", "lenet")]


def one(message: str = "wrong", **fields: Any) -> Checked:
    """A result with one diagnostic in the last two lines of a text."""
    text = Source("net, of: a/é%.yaml", "a: 1\n  b: 22\n  c: 3\n")
    diagnostic = Diagnostic("wrong-type", message, Label(Span(text, 2, 3, 3, 7), "here"), **fields)
    return Checked(text.name, "net", (diagnostic,))


def test_concise(checked: list[Checked]) -> None:
    lines = concise.render(checked).splitlines()
    assert [re.match(r"(.+):(\d+):(\d+): (\w+)\[([a-z-]+)\] (.+)$", line).groups()[:5] for line in lines] == [  # type: ignore[union-attr]
        ("a dir/bad.yaml", "4", "45", "warning", "padding-per-side"),
        ("a dir/bad.yaml", "6", "33", "error", "kernel-too-large"),
        ("a dir/bad.yaml", "7", "5", "error", "unknown-kind"),
    ]
    assert lines[1].endswith("`conv2` window does not fit its input: 15×15 window, 13×13 input, no padding")


def test_a_message_of_several_lines_is_one() -> None:
    assert concise.render([one("first\nsecond")]).count("\n") == 1


def test_paths_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(BAD, "utf-8")
    result = check_one(str(tmp_path / "bad.yaml"), Settings({})).checked
    assert concise.render([result]).startswith("bad.yaml:4:45: ")


def test_a_fault_of_a_common_base_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BAD, "utf-8")
    for name in ("x.yaml", "y.yaml"):
        Path(name).write_text("extends: base.yaml\n", "utf-8")
    results = [check_one(name, Settings({})).checked for name in ("x.yaml", "y.yaml")]
    assert concise.render(results).count("unknown-kind") == 1


class TestGitHub:
    """Read as the runner does: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts."""

    @staticmethod
    def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
        def decoded(value: str, *, is_property: bool) -> str:
            for code, ch in (("%3A", ":"), ("%2C", ",")) if is_property else ():
                value = value.replace(code, ch)
            return value.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

        found = []
        for line in text.splitlines():
            match = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
            assert match, line
            pairs = [pair.split("=", 1) for pair in match[2].split(",")]
            properties = {key: decoded(value, is_property=True) for key, value in pairs}
            found.append((match[1], properties, decoded(match[3], is_property=False)))
        return found

    def test_commands(self, checked: list[Checked]) -> None:
        warning, too_large, _ = self.commands(github.render(checked))
        assert (warning[0], too_large[0]) == ("warning", "error")
        assert too_large[1] == {
            "file": "a dir/bad.yaml", "line": "6", "endLine": "6", "col": "33", "endColumn": "34",
            "title": "kernel-too-large",
        }  # fmt: skip
        assert "height: ⌊(13 − 15 + 0 + 1) / 1⌋ = −1" in too_large[2].splitlines()

    def test_escapes(self) -> None:
        message = "100 % of: a, b\nand %0A"
        ((command, properties, text),) = self.commands(github.render([one(message, severity="note", help="x\r\ny")]))
        assert command == "notice"
        assert properties == {
            "file": "net, of: a/é%.yaml", "line": "2", "endLine": "3", "title": "wrong-type",
        }, "no columns of a range of several lines"  # fmt: skip
        assert text == "100 % of: a, b and %0A: here\nhelp: x\r\ny"


class TestGitLab:
    def test_report(self, checked: list[Checked]) -> None:
        issues = json.loads(gitlab.render(checked))
        assert [(issue["check_name"], issue["severity"]) for issue in issues] == [
            ("padding-per-side", "minor"), ("kernel-too-large", "major"), ("unknown-kind", "major"),
        ]  # fmt: skip
        assert issues[1]["location"]["path"] == "a dir/bad.yaml"
        assert issues[1]["location"]["lines"]["begin"] == 6
        assert len({issue["fingerprint"] for issue in issues}) == 3

    def test_fingerprints_outlast_moved_lines(self, checked: list[Checked]) -> None:
        before = {issue["fingerprint"] for issue in json.loads(gitlab.render(checked))}
        Path("a dir/bad.yaml").write_text("# a comment\n\n" + BAD.replace("  - max", "  # so\n  - max"), "utf-8")
        moved = json.loads(gitlab.render([check_one("a dir/bad.yaml", Settings({})).checked]))
        assert {issue["fingerprint"] for issue in moved} == before
        assert moved[0]["location"]["lines"]["begin"] == 6

    def test_equal_lines_have_their_own(self) -> None:
        report = cnnspec.check(Source("x.yaml", "input: [1, 8, 8]\nlayers:\n  - reluu\n  - reluu\n"))
        issues = json.loads(gitlab.render([Checked("x.yaml", "x", report.diagnostics)]))
        assert len({issue["fingerprint"] for issue in issues}) == 2

    def test_no_fault_is_an_empty_list(self) -> None:
        assert json.loads(gitlab.render([Checked("lenet", "lenet", ())])) == []


class TestSarif:
    @staticmethod
    def run_of(checked: list[Checked]) -> Any:
        log = json.loads(sarif.render(checked))
        jsonschema.Draft4Validator(SCHEMA).validate(log)
        return log["runs"][0]

    def test_is_valid_and_has_rules(self, checked: list[Checked]) -> None:
        run = self.run_of(checked)
        rules = run["tool"]["driver"]["rules"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        too_large = next(rule for rule in rules if rule["id"] == "kernel-too-large")
        assert too_large["shortDescription"]["text"] == codes()["kernel-too-large"].summary
        assert [result["level"] for result in run["results"]] == ["warning", "error", "error"]

    def test_regions_are_the_text(self, checked: list[Checked]) -> None:
        (result,) = (r for r in self.run_of(checked)["results"] if r["ruleId"] == "unknown-kind")
        place = result["locations"][0]["physicalLocation"]
        region = place["region"]
        text = Path(unquote(place["artifactLocation"]["uri"])).read_text("utf-8").splitlines()
        assert text[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1] == "flaten"

    def test_related_locations(self, checked: list[Checked]) -> None:
        (result,) = (r for r in self.run_of(checked)["results"] if r["ruleId"] == "kernel-too-large")
        (related,) = result["relatedLocations"]
        assert related["message"]["text"] == "turns 26 into 13"
        assert related["physicalLocation"]["region"]["startLine"] == 5

    def test_fixes_are_replacements(self) -> None:
        source = Source("net.yaml", "layers: [reluu]\n")
        place = Span(source, 1, 10, 1, 15)
        fix = Fix("write `relu`", (Edit(place, "relu"),))
        result = Checked("net.yaml", "net", (Diagnostic("unknown-kind", "no", Label(place), fixes=(fix,)),))
        (found,) = self.run_of([result])["results"][0]["fixes"]
        assert found["description"]["text"] == "write `relu`"
        (change,) = found["artifactChanges"]
        assert change["artifactLocation"]["uri"] == "net.yaml"
        assert change["replacements"] == [
            {
                "deletedRegion": {"startLine": 1, "startColumn": 10, "endLine": 1, "endColumn": 15},
                "insertedContent": {"text": "relu"},
            }
        ]

    def test_without_faults(self) -> None:
        assert self.run_of([Checked("lenet", "lenet", ())])["results"] == []

    def test_a_file_that_cannot_be_read(self) -> None:
        run = self.run_of([check_one("nowhere.yaml", Settings({})).checked])
        assert run["results"][0]["ruleId"] == "unreadable-file"

    def test_odd_names_are_uris(self) -> None:
        run = self.run_of([one()])
        uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert (uri.isascii(), unquote(uri)) == (True, "net, of: a/é%.yaml")


class TestJUnit:
    def test_a_case_for_each_spec(self, checked: list[Checked]) -> None:
        root = ElementTree.fromstring(junit.render(checked).encode())
        (suite,) = root
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
        bad, good = suite
        assert (bad.get("name"), good.get("name")) == ("a dir/bad.yaml", "lenet")
        failure, output = bad.find("failure"), bad.find("system-out")
        assert failure is not None
        assert output is not None
        assert failure.get("message", "").startswith("`conv2` window does not fit its input")
        assert "error[unknown-kind]" in (failure.text or "")
        assert "warning[padding-per-side]" in (output.text or "")
        assert list(good) == []

    def test_warnings_alone_pass(self) -> None:
        (suite,) = ElementTree.fromstring(junit.render([one(severity="warning")]).encode())
        assert suite.get("failures") == "0"
        assert suite[0].find("failure") is None

    def test_characters_that_xml_cannot_hold(self) -> None:
        (suite,) = ElementTree.fromstring(junit.render([one("a\x1b[0m <&> \"' \ufffe")]).encode())
        failure = suite[0].find("failure")
        assert failure is not None
        assert "<&> \"'" in failure.get("message", "")
