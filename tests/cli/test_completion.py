"""What a shell completes, by click's protocol: the words of the command line and the place of the cursor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import Cnnspec

from cnnspec import bundled
from cnnspec.cli import COMMANDS, main
from cnnspec.cli.completion import FIRST_WORDS, TAKES_SPEC
from cnnspec.diagnostics import codes
from cnnspec.layers import LAYERS


@pytest.fixture
def completed(cnnspec: Cnnspec, tmp_path: Path):
    """The (type, value) of each proposal for the last word of a command line."""

    def complete(line: str) -> list[tuple[str, str]]:
        words = line.split(" ")
        env = {
            "_CNNSPEC_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        result = cnnspec(env=env)
        assert result.exit_code == 0, result.output
        pairs = [row.partition(",") for row in result.output.splitlines()]
        return [(kind, value) for kind, _, value in pairs]

    return complete


def values(found: list[tuple[str, str]]) -> list[str]:
    return [value for kind, value in found if kind == "plain"]


def test_commands(completed) -> None:
    assert values(completed("cnnspec ")) == list(COMMANDS)
    assert sorted(values(completed("cnnspec ex"))) == ["explain", "export"]


@pytest.mark.parametrize(
    "command",
    [
        "check",
        "check lenet",
        "check -q",
        "run",
        "train",
        "test",
        "render",
        "schema",
        "diff lenet",
        "export",
        "evaluate",
        "explain",
    ],
)
def test_specs_and_files(completed, command: str) -> None:
    found = completed(f"cnnspec {command} resnet1")
    assert values(found) == [name for name in bundled.names() if name.startswith("resnet1")]
    assert found[0] == ("file", "resnet1"), "the shell adds its files; bash forgets what is before that"


def test_files_of_the_folder(completed, tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    for name in ("resnet1.yaml", "resnet1.txt", "nets/a.yml", "nets/[b].yaml"):
        (tmp_path / name).write_text("")
    assert values(completed("cnnspec check resnet1"))[:2] == ["resnet1.yaml", "resnet101"]
    assert values(completed("cnnspec check nets/")) == ["nets/[b].yaml", "nets/a.yml"]
    assert values(completed("cnnspec check nets/[b")) == ["nets/[b].yaml"]
    assert values(completed("cnnspec check nowhere/")) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("check alex", "alexnet"),
        ("layers max_", "max_pool"),
        ("ren", "render"),
        ("explain kernel-", "kernel-too-large"),
    ],
)
def test_in_bash(tmp_path: Path, line: str, found: str) -> None:
    (tmp_path / "cnnspec").write_text(f'#!/bin/sh\nexec {sys.executable} -m cnnspec "$@"\n')
    (tmp_path / "cnnspec").chmod(0o755)
    script = (
        'eval "$(_CNNSPEC_COMPLETE=bash_source cnnspec)"; '
        f"COMP_WORDS=(cnnspec {line}); COMP_CWORD={line.count(' ') + 1}; "
        'compopt() { :; }; _cnnspec_completion cnnspec; echo "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert result.stdout.split() == [found], result.stderr


@pytest.mark.parametrize("command", FIRST_WORDS)
def test_the_options_of_a_command(completed, command: str) -> None:
    assert "--help" in values(completed(f"cnnspec {command} --he"))


@pytest.mark.parametrize("command", TAKES_SPEC)
def test_a_command_whose_first_word_is_a_spec_takes_one(command: str) -> None:
    """It is completed without importing the command: both must agree."""
    params = main.get_command(click.Context(main), command).params
    first = next(param for param in params if isinstance(param, click.Argument))
    assert "lenet" in [item.value for item in first.shell_complete(click.Context(main), "lene")]


def test_specs_in_folders(completed) -> None:
    assert "textbook/max_pooling" in values(completed("cnnspec check textbook/max"))


def test_kinds(completed) -> None:
    assert values(completed("cnnspec layers ")) == list(LAYERS)
    assert values(completed("cnnspec layers max_")) == ["max_pool"]


def test_codes(completed) -> None:
    expected = [code for code in codes() if code.startswith("unknown-")]
    assert values(completed("cnnspec explain unknown-")) == expected


def test_the_layers_of_a_spec(completed) -> None:
    assert values(completed("cnnspec explain lenet conv")) == ["conv1", "conv2"]
    assert values(completed("cnnspec explain nowhere conv")) == []


@pytest.mark.parametrize("command", ["check resnet", "render resnet", "run resnet"])
def test_the_parameters_of_a_spec(completed, command: str) -> None:
    assert values(completed(f"cnnspec {command} --set wi")) == ["width="]
    assert values(completed(f"cnnspec {command} --set x")) == []


def test_flags_and_their_values(completed) -> None:
    assert "--explain" in values(completed("cnnspec check lenet --ex"))
    assert "json" in values(completed("cnnspec layers --format "))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(cnnspec: Cnnspec, shell: str) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash for its version")
    result = cnnspec(env={"_CNNSPEC_COMPLETE": f"{shell}_source"})
    assert result.exit_code == 0
    assert "_CNNSPEC_COMPLETE" in result.output


@pytest.mark.parametrize(
    "line",
    [
        "cnnspec ",
        "cnnspec check le",
        "cnnspec layers co",
        "cnnspec explain shape",
        *(f"cnnspec {c} l" for c in TAKES_SPEC),
    ],
)
def test_no_framework_is_imported(tmp_path: Path, line: str) -> None:
    code = (
        "import sys, json, atexit\n"
        "atexit.register(lambda: print(json.dumps([m for m in ('numpy', 'torch', 'rich') if m in sys.modules])))\n"
        "from cnnspec.cli import main; main(prog_name='cnnspec')"
    )
    env = {"_CNNSPEC_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **env}
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == []
