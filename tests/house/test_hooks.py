"""What other tools run: the hook of pre-commit, and the recipes of docs/ci.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from conftest import ROOT, Cnnspec

from cnnspec.cli import COMMANDS, main

HOOKS = ROOT / ".pre-commit-hooks.yaml"
(HOOK,) = yaml.safe_load(HOOKS.read_text("utf-8"))
RECIPES = (ROOT / "docs" / "ci.md").read_text("utf-8")


def test_pre_commit_reads_the_hook() -> None:
    clientlib = pytest.importorskip("pre_commit.clientlib")
    (found,) = clientlib.load_manifest(str(HOOKS))
    assert (found["id"], found["language"], found["types"]) == ("cnnspec-check", "python", ["yaml"])


def test_the_hook_checks_the_specs_among_the_files(cnnspec: Cnnspec) -> None:
    """As pre-commit runs it: the entry, and behind it the files of the commit that are YAML."""
    spec = "input: [1, 8, 8]\nlayers:\n  - relu\n"
    for name, text in (("ci.yml", "on: push\n"), ("good.yaml", spec), ("bad.yaml", spec.replace("relu", "reluu"))):
        Path(name).write_text(text, "utf-8")
    program, *arguments = shlex.split(HOOK["entry"])
    assert program == "cnnspec"
    for names in (["ci.yml"], ["ci.yml", "good.yaml"]):
        result = cnnspec(*arguments, *names)
        assert (result.exit_code, result.output) == (0, "")
    result = cnnspec(*arguments, "ci.yml", "good.yaml", "bad.yaml")
    assert result.exit_code == 1
    assert "--> bad.yaml:3:5" in result.output


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```$", RECIPES, re.MULTILINE | re.DOTALL))
def test_recipes_are_yaml(text: str) -> None:
    assert yaml.safe_load(text)


@pytest.mark.parametrize("line", [*dict.fromkeys(re.findall(r"\bcnnspec (?:check|diff|render) [^'`|#\n]+", RECIPES))])
def test_recipes_use_options_that_there_are(line: str) -> None:
    _, name, *arguments = shlex.split(line.split(" >")[0])
    assert name in COMMANDS
    context = click.Context(main)
    command: Any = main.get_command(context, name)
    command.make_context(name, [*arguments, "x"] if name == "render" else arguments, parent=context)
