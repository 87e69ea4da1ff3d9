"""Which files a directory or a pattern stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnspec.errors import DataError
from cnnspec.language.project.discovery import find_specs, is_spec

SPEC = "input: [3]\nlayers: [dense: 2]\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "nets/b.yaml": SPEC,
        "nets/a.yml": "# a comment\ncnnspec: 1\nextends: b.yaml\n",
        "nets/deep/c.yaml": "\ufeffcnnspec: 1\n",
        "nets/ci.yml": "on: push\njobs: {layers: [a]}\n",
        "nets/notes.txt": SPEC,
        "nets/.hidden/d.yaml": SPEC,
        "other/x.yaml": "a: 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def posix(names: tuple[str, ...]) -> list[str]:
    return [Path(name).as_posix() for name in names]


def test_a_directory_is_every_spec_below_it(tree: Path) -> None:
    found = find_specs(["nets"])
    assert posix(found.specs) == ["nets/a.yml", "nets/b.yaml", "nets/deep/c.yaml"]
    assert posix(found.others) == ["nets/ci.yml"]


def test_a_pattern(tree: Path) -> None:
    assert posix(find_specs(["nets/**/*.yaml"]).specs) == ["nets/b.yaml", "nets/deep/c.yaml"]


def test_what_is_named_is_a_spec_unless_only_specs_are_asked_for(tree: Path) -> None:
    assert find_specs(["nets/ci.yml", "lenet"]).specs == ("nets/ci.yml", "lenet")
    found = find_specs(["nets/ci.yml", "nets/b.yaml", "lenet"], specs_only=True)
    assert (found.specs, found.others) == (("nets/b.yaml", "lenet"), ("nets/ci.yml",))


def test_each_is_there_once(tree: Path) -> None:
    assert find_specs([str(Path("nets", "b.yaml")), "nets"]).specs.count(str(Path("nets", "b.yaml"))) == 1


def test_a_directory_without_specs(tree: Path) -> None:
    with pytest.raises(DataError, match="there is no spec in `other`"):
        find_specs(["other"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layers: []\n", True),
        ('"cnnspec": 1\n', True),
        ("extends: resnet.yaml\nparams: {width: 2}\n", True),
        ("extends: default\nrules: {}\n", False),
        ("a:\n  layers: []\n", False),
        ("layerscale: 1\n", False),
        ("# layers: none\n", False),
        ("", False),
    ],
)
def test_the_keys_of_a_spec_stand_at_the_top(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "x.yaml").write_text(text, "utf-8")
    assert is_spec(tmp_path / "x.yaml") is expected
