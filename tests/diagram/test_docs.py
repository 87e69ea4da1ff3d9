"""docs/pictures.md: its pictures are those that are drawn, and its commands print what it shows."""

from __future__ import annotations

import importlib.util
import re
import shlex
from types import ModuleType

import pytest
from conftest import ROOT, Cnnspec

PAGE = (ROOT / "docs" / "pictures.md").read_text("utf-8")
BLOCK = re.compile(r"^```text\n\$ cnnspec (.+)\n((?:.*\n)*?)```$", re.MULTILINE)


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_docs", ROOT / "docs" / "draw.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_are_current(pictures: ModuleType) -> None:
    for name in pictures.PICTURES:
        drawn = (pictures.FOLDER / f"{name}.svg").read_text("utf-8")
        assert drawn == pictures.picture(name), f"{name}: run `python docs/draw.py`"


def test_every_picture_is_there_and_shown(pictures: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = {*re.findall(r"\(pictures/([\w-]+)\.svg\)", PAGE), *re.findall(r"\(docs/pictures/([\w-]+)\.svg\)", readme)}
    assert shown == set(pictures.PICTURES) == {path.stem for path in pictures.FOLDER.glob("*.svg")}


@pytest.mark.parametrize(("command", "output"), BLOCK.findall(PAGE))
def test_output(cnnspec: Cnnspec, command: str, output: str) -> None:
    """A line of … stands for lines that are left out."""
    printed = cnnspec(*shlex.split(command)).stdout
    for part in output.split("…\n"):
        assert part in printed
