"""The configurations in docs/editors.md are valid in their languages, and say what the program takes."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from conftest import ROOT

from cnnspec.bundled import MODELINE
from cnnspec.cli import COMMANDS
from cnnspec.language.schema.document import DIALECT
from cnnspec.lsp.analysis import is_spec

PAGE = (ROOT / "docs" / "editors.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_json() -> None:
    settings: list[Any] = [json.loads(block) for block in blocks("json")]
    client = next(block for block in settings if "glspc.server.command" in block)
    assert [client["glspc.server.command"], *client["glspc.server.commandArguments"]] == ["cnnspec", "lsp"]


def test_toml() -> None:
    (block,) = blocks("toml")
    helix = tomllib.loads(block)
    assert helix["language-server"]["cnnspec"] == {"command": "cnnspec", "args": ["lsp"]}
    assert helix["language"] == [{"name": "yaml", "language-servers": ["cnnspec"]}]


def test_brackets_of_lua_and_lisp() -> None:
    for block in (*blocks("lua"), *blocks("elisp")):
        for opening, closing in ("()", "{}"):
            assert block.count(opening) == block.count(closing)
        assert '"cnnspec"' in block
        assert '"lsp"' in block


def test_the_modeline_makes_a_spec() -> None:
    (block,) = blocks("yaml")
    assert block.startswith(MODELINE)
    assert is_spec(block.splitlines()[0] + "\n")


def test_what_it_names_is_there() -> None:
    assert {"lsp", "schema"} <= set(COMMANDS)
    assert "draft-07" in DIALECT
    for shell in ("bash", "zsh", "fish"):
        assert f"_CNNSPEC_COMPLETE={shell}_source" in PAGE
