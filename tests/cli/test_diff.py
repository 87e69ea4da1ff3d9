"""`cnnspec diff`: the texts, the exit status, and git's tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT, Cnnspec

LENET = """\
cnnspec: 1
name: lenet
input: [1, 28, 28]
layers:
  - conv: {channels: 6, kernel: 5}
  - sigmoid
  - max_pool: 2
  - flatten
  - dense: 10
"""


@pytest.fixture
def pair(cnnspec: Cnnspec) -> tuple[str, str]:
    """Two specs in the working directory: the second has another kernel, one more layer and other preprocessing."""
    Path("a.yaml").write_text(LENET, "utf-8")
    after = LENET.replace("kernel: 5", "kernel: 3").replace("sigmoid", "batch_norm\n  - sigmoid")
    Path("b.yaml").write_text(after.replace("[1, 28, 28]", "{shape: [1, 28, 28], mean: 0.5}"), "utf-8")
    return "a.yaml", "b.yaml"


TEXT = """\
lenet: 1 layer added, 1 changed; 1 setting changed

   layer        before            after                      parameters             MACs             memory
───────────────────────────────────────────────────────────────────────────────────────────────────────────
~  conv1        conv 5×5  6×24×24 conv 3×3  6×26×26            156 → 60  86,400 → 36,504 13.8 kB → 16.2 kB
     kernel: 5 → 3
+  batch_norm1                    batch_norm  6×26×26               +12                           +16.2 kB
·  dense1       dense  10         dense  10             8,650 → 10,150   8,640 → 10,140               40 B

3 further layers have another shape or cost, such as `sigmoid1` (6×24×24 → 6×26×26)

setting     before  after
─────────────────────────
input.mean  [0.0]   [0.5]

total                      before    after               change
"""


def squeezed(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if "──" not in line]


class TestDiff:
    def test_text(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        result = cnnspec("diff", *pair)
        assert result.exit_code == 1
        lines = squeezed(result.stdout)
        assert lines[: len(squeezed(TEXT))] == squeezed(TEXT)
        totals = {line[0]: line[1:] for line in lines if line and line[0] in ("parameters", "MACs")}
        assert totals["parameters"][:3] == ["8,806", "10,222", "+1,416"]

    def test_the_example_of_the_docs(self, cnnspec: Cnnspec) -> None:
        shown = cnnspec("diff", "resnet18", "resnet34").stdout
        assert f"$ cnnspec diff resnet18 resnet34\n{shown}```" in (ROOT / "docs" / "ci.md").read_text("utf-8")

    def test_the_same(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        result = cnnspec("diff", "resnet18", "resnet18")
        assert (result.exit_code, result.stdout) == (0, "resnet18: the same network\n")

    def test_colours(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        plain = cnnspec("diff", *pair).stdout
        coloured = cnnspec("diff", *pair, env={"FORCE_COLOR": "1"}, color=True).stdout
        assert "\x1b[32m" in coloured
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain

    def test_long_lists_have_a_line_for_a_block(self, cnnspec: Cnnspec) -> None:
        short, full = (cnnspec("diff", "resnet18", "resnet34", *flags).stdout for flags in ((), ("--full",)))
        assert re.search(r"^\+  stage4.unit2  7 layers  512×7×7 +\+4,720,640", short, re.MULTILINE)
        assert (short.count("\n+"), full.count("\n+")) == (8, 56)

    def test_json(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        found = json.loads(cnnspec("diff", *pair, "--format", "json").stdout)
        assert (found["equal"], found["before"], found["after"]) == (False, "lenet", "lenet")
        assert [(layer["change"], layer["after"]["name"]) for layer in found["layers"]] == [
            ("changed", "conv1"), ("added", "batch_norm1"), ("affected", "sigmoid1"), ("affected", "max_pool1"),
            ("affected", "flatten1"), ("affected", "dense1"),
        ]  # fmt: skip
        assert found["layers"][0]["fields"] == {"kernel": {"before": 5, "after": 3}}
        assert found["settings"] == {"input.mean": {"before": [0.0], "after": [0.5]}}
        assert found["totals"]["parameters"] == {"before": 8806, "after": 10222}

    def test_markdown_is_a_table_on_github(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        lines = cnnspec("diff", *pair, "--format", "markdown").stdout.splitlines()
        assert lines[:3] == ["### lenet", "", "**1 layer added, 1 changed; 1 setting changed**"]
        rows = [line for line in lines if line.startswith("|")]
        assert r"| + | `batch_norm1` |  | batch\_norm  6×26×26 |  | +12 |  | +16.2 kB |" in rows
        assert "| `input.mean` | `[0.0]` | `[0.5]` |" in rows
        for first, rule in pairwise(lines):
            if rule.startswith("| ---"):
                assert first.count("|") == rule.count("|")
        assert lines.count("</details>") == sum(line.startswith("<details") for line in lines) == 1

    def test_markdown_folds_what_is_long(self, cnnspec: Cnnspec) -> None:
        text = cnnspec("diff", "resnet18", "resnet34", "--format", "markdown").stdout
        assert "<details open><summary>The layers</summary>\n\n|" in text
        assert "<details><summary>Each of the 56 layers</summary>\n\n|" in text

    def test_markdown_takes_names_as_text(self, cnnspec: Cnnspec) -> None:
        for name, title in (("a.yaml", "'<b>*|x*'"), ("b.yaml", "other")):
            Path(name).write_text(LENET.replace("name: lenet", f"name: {title}"), "utf-8")
        Path("b.yaml").write_text(LENET.replace("dense: 10", "dense: 9"), "utf-8")
        first = cnnspec("diff", "a.yaml", "b.yaml", "--format", "markdown").stdout.splitlines()[0]
        assert first == r"### &lt;b>\*\|x\* → lenet"

    def test_params_of_both_and_of_one(self, cnnspec: Cnnspec) -> None:
        assert cnnspec("diff", "vgg", "vgg16", "--set", "classes=10").exit_code == 0
        found = cnnspec("diff", "vgg", "vgg", "--set-b", "classes=10", "--format", "json")
        (layer,) = json.loads(found.stdout)["layers"]
        assert layer["fields"] == {"units": {"before": 1000, "after": 10}}
        back = cnnspec("diff", "vgg", "vgg", "--set-a", "classes=10", "--format", "json")
        assert json.loads(back.stdout)["layers"][0]["fields"] == {"units": {"before": 10, "after": 1000}}

    def test_batch(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        one, ten = (
            json.loads(cnnspec("diff", *pair, "--batch", batch, "--format", "json").stdout)["totals"]
            for batch in ("1", "10")
        )
        assert ten["peak_activation_bytes"]["after"] == 10 * one["peak_activation_bytes"]["after"]

    def test_totals_are_those_of_check(self, cnnspec: Cnnspec) -> None:
        """Also where layers are frozen in training, which then takes less memory."""
        for name, train in (("a.yaml", ""), ("b.yaml", "train: {freeze: [conv1]}\n")):
            Path(name).write_text(LENET + train, "utf-8")
        found = json.loads(cnnspec("diff", "a.yaml", "b.yaml", "--batch", "4", "--format", "json").stdout)["totals"]
        for name, side in (("a.yaml", "before"), ("b.yaml", "after")):
            checked = json.loads(cnnspec("check", name, "--batch", "4", "--format", "json").stdout)["totals"]
            assert {key: change[side] for key, change in found.items()} == checked
        assert found["training_bytes"]["after"] < found["training_bytes"]["before"]

    def test_a_spec_with_errors(self, cnnspec: Cnnspec, pair: tuple[str, str]) -> None:
        Path("b.yaml").write_text(LENET.replace("dense", "dens"), "utf-8")
        result = cnnspec("diff", *pair)
        assert result.exit_code == 1
        assert not result.stdout
        assert result.stderr.startswith("error[unknown-kind]: no layer or block is called `dens`\n  --> b.yaml:9:5\n")

    def test_wrong_usage(self, cnnspec: Cnnspec) -> None:
        assert cnnspec("diff", "lenet").exit_code == 2
        assert cnnspec("diff", "lenet", "vgg", "--format", "html").exit_code == 2

    def test_a_file_that_is_not_there_in_git(self, cnnspec: Cnnspec) -> None:
        added, removed = cnnspec("diff", "/dev/null", "mlp"), cnnspec("diff", "mlp", "/dev/null")
        assert added.stdout.startswith("nothing → mlp: 4 layers added\n")
        assert removed.stdout.startswith("mlp → nothing: 4 layers removed\n")
        assert added.exit_code == removed.exit_code == 1


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
class TestGit:
    """The recipes of docs/ci.md, in a repository."""

    @pytest.fixture
    def git(self, tmp_path: Path) -> Git:
        return Git(tmp_path)

    def test_textconv(self, git: Git) -> None:
        git.configure()
        shown = git("diff", "HEAD")
        assert "-  - conv: {channels: 6, kernel: 5, stride: 1, " in shown
        assert "+  - conv: {channels: 6, kernel: 3, stride: 1, " in shown
        assert "# a comment" not in shown

    def test_difftool(self, git: Git) -> None:
        git.configure()
        shown = git("difftool", "--no-prompt", "--tool=cnnspec", "HEAD")
        assert "lenet: 1 layer changed" in shown
        assert "kernel: 5 → 3" in shown
        assert "nothing → new: 1 layer added" in shown
        assert "old → nothing: 1 layer removed" in shown


class Git:
    """A repository with a spec that is changed, one that is new and one that is removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_PAGER": "cat",
        }  # fmt: skip
        self("init", "--quiet")
        for name, value in (("user.name", "a"), ("user.email", "a@b"), ("commit.gpgsign", "false")):
            self("config", name, value)
        (folder / "net.yaml").write_text(LENET, "utf-8")
        (folder / "old.yaml").write_text("input: [3]\nlayers: [relu]\n", "utf-8")
        self("add", ".")
        self("commit", "--quiet", "-m", "first")
        (folder / "net.yaml").write_text("# a comment\n" + LENET.replace("kernel: 5", "kernel: 3"), "utf-8")
        (folder / "new.yaml").write_text("input: [3]\nlayers: [tanh]\n", "utf-8")
        (folder / "old.yaml").unlink()
        self("add", "--all")

    def configure(self) -> None:
        """Follow the recipes, with this Python in place of the command on the path."""
        command = f"'{sys.executable}' -m cnnspec"
        (self.folder / ".gitattributes").write_text("*.yaml diff=cnnspec\n", "utf-8")
        self("config", "diff.cnnspec.textconv", f"{command} render")
        self("config", "difftool.cnnspec.cmd", f'{command} diff "$LOCAL" "$REMOTE"')

    def __call__(self, *arguments: str) -> str:
        result = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


def test_a_spec_that_is_not_as_its_author_expects_is_compared(cnnspec: Cnnspec) -> None:
    Path("a.yaml").write_text(f"{LENET}expect: {{output: [10]}}\n", "utf-8")
    Path("b.yaml").write_text(f"{LENET}expect: {{output: [10]}}\n".replace("dense: 10", "dense: 12"), "utf-8")
    result = cnnspec("diff", "a.yaml", "b.yaml")
    assert result.exit_code == 1
    assert "units: 10 → 12" in result.stdout
    assert "expectation-failed" in result.stderr
    assert "b.yaml" in result.stderr
    same = cnnspec("diff", "b.yaml", "b.yaml")
    assert same.exit_code == 1
    assert "expectation-failed" in same.stderr
