"""Flags for options of the backends, on the commands that compute."""

from __future__ import annotations

import pytest
from conftest import Cnnspec

COMMANDS = {
    "run": ["run", "lenet"],
    "evaluate": ["evaluate", "lenet", "--data", "digits", "--resize", "--weights", "lenet"],
    "train": ["train", "lenet", "--data", "digits", "--resize", "--epochs", "1", "--out", "run"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--compile", "--channels-last", "--tf32"])
def test_a_backend_without_the_option_refuses_its_flag(cnnspec: Cnnspec, name: str, flag: str) -> None:
    result = cnnspec(*COMMANDS[name], flag)
    assert result.exit_code == 1
    assert f"numpy has no option `{flag[2:].replace('-', '_')}`" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flags", [["--channels-first", "--tf32"], ["--channels-last"], ["--compile"]])
def test_torch_takes_the_flags(cnnspec: Cnnspec, name: str, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that compiles nothing: what is generated is torch's own matter, and needs a C++ compiler."""
    torch = pytest.importorskip("torch")
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda module, **options: compiled.append(module) or module)
    result = cnnspec(*COMMANDS[name], "--backend", "torch", *flags)
    assert result.exit_code == 0, result.stderr
    assert bool(compiled) == ("--compile" in flags)
