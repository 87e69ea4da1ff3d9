"""`check` of many specs, and its formats and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import Cnnspec

from cnnspec.cli.check_output import FORMATS

GOOD = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - relu\n"
BAD = GOOD.replace("relu", "reluu")


@pytest.fixture
def nets(cnnspec: Cnnspec) -> Path:
    """A directory with two specs, one of which has an error, and a YAML file that is no spec."""
    folder = Path("nets")
    folder.mkdir()
    for name, text in (("good.yaml", GOOD), ("bad.yaml", BAD), ("ci.yml", "on: push\n")):
        (folder / name).write_text(text, "utf-8")
    return folder


class TestDirectories:
    def test_diagnostics_and_a_count(self, cnnspec: Cnnspec, nets: Path) -> None:
        result = cnnspec("check", nets)
        assert result.exit_code == 1
        assert result.stdout.startswith("error[unknown-kind]: no layer or block is called `reluu`\n")
        assert result.stdout.endswith("\n2 specs: 1 valid, 1 with errors\n")
        assert "every shape fits" not in result.stdout
        left_out = f"left out 1 YAML file without the key `cnnspec` or `layers`: `{nets / 'ci.yml'}`\n"
        assert result.stderr == left_out

    def test_quiet_is_quiet(self, cnnspec: Cnnspec, nets: Path) -> None:
        (nets / "bad.yaml").unlink()
        result = cnnspec("check", "-q", nets)
        assert (result.exit_code, result.output) == (0, "")

    def test_explain_shows_the_networks(self, cnnspec: Cnnspec, nets: Path) -> None:
        assert "good: every shape fits" in cnnspec("check", nets, "--explain").stdout

    def test_specs_by_name_are_shown(self, cnnspec: Cnnspec, nets: Path) -> None:
        assert cnnspec("check", nets / "good.yaml", "lenet").stdout.count("every shape fits") == 2

    def test_a_pattern(self, cnnspec: Cnnspec, nets: Path) -> None:
        assert cnnspec("check", "nets/g*.yaml").stdout == "1 spec: 1 valid, 0 with errors\n"

    def test_a_pattern_without_files(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "nets/*.yaml")
        assert result.exit_code == 1
        assert "there is no such file" in result.stdout

    def test_specs_only(self, cnnspec: Cnnspec, nets: Path) -> None:
        assert cnnspec("check", nets / "ci.yml").exit_code == 1
        result = cnnspec("check", nets / "ci.yml", "--specs-only")
        assert (result.exit_code, result.stdout) == (0, "")

    def test_the_same_from_the_cache_and_from_processes(self, cnnspec: Cnnspec, nets: Path) -> None:
        for output_format in FORMATS:
            runs = [
                cnnspec("check", nets, "--format", output_format, *flags).stdout
                for flags in (("--no-cache",), (), (), ("--no-cache", "--jobs", "2"))
            ]
            assert len({*runs}) == 1


class TestFormats:
    @pytest.mark.parametrize("output_format", FORMATS)
    @pytest.mark.parametrize(("text", "status"), [(GOOD, 0), (BAD, 1)])
    def test_exit_status(self, cnnspec: Cnnspec, output_format: str, text: str, status: int) -> None:
        Path("net.yaml").write_text(text, "utf-8")
        assert cnnspec("check", "net.yaml", "--format", output_format).exit_code == status

    def test_json_of_a_directory_is_a_list(self, cnnspec: Cnnspec, nets: Path) -> None:
        reports = json.loads(cnnspec("check", nets, "--format", "json").stdout)
        assert [(report["spec"], report["ok"]) for report in reports] == [("bad", False), ("good", True)]
        (nets / "bad.yaml").unlink()
        assert len(json.loads(cnnspec("check", nets, "--format", "json").stdout)) == 1

    def test_json_of_no_spec_is_an_empty_list(self, cnnspec: Cnnspec, nets: Path) -> None:
        assert cnnspec("check", nets / "ci.yml", "--specs-only", "--format", "json").stdout == "[]\n"

    @pytest.mark.parametrize("output_format", [name for name in FORMATS if name != "text"])
    def test_a_file_has_what_would_be_printed(self, cnnspec: Cnnspec, nets: Path, output_format: str) -> None:
        printed = cnnspec("check", nets, "--format", output_format)
        written = cnnspec("check", nets, "--format", output_format, "--output", "report")
        assert Path("report").read_text("utf-8") == printed.stdout
        assert written.stdout == ""
        assert written.stderr.endswith("2 specs: 1 valid, 1 with errors\n") or output_format == "csv"
        assert written.exit_code == 1

    def test_a_file_of_text_is_wrong_usage(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--output", "report")
        assert result.exit_code == 2
        assert "another --format than text" in result.stderr

    def test_a_file_that_cannot_be_written(self, cnnspec: Cnnspec) -> None:
        result = cnnspec("check", "lenet", "--format", "sarif", "--output", "nowhere/report")
        assert result.exit_code == 1
        assert result.stderr == "error: nowhere/report: No such file or directory\n"

    def test_standard_input(self, process: Callable[..., CompletedProcess[str]]) -> None:
        result = process("check", "-", "--format", "concise", input=BAD)
        assert result.stdout == "<stdin>:4:5: error[unknown-kind] no layer or block is called `reluu`\n"
        assert result.returncode == 1
