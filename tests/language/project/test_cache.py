"""The cache of checks: unchanged specs are not checked again, and no answer is ever an old one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli.check_network import details as network_details
from cnnspec.cli.check_options import CostOptions
from cnnspec.diagnostics import Source
from cnnspec.language.load import Report
from cnnspec.language.project import cache as module
from cnnspec.language.project import many
from cnnspec.language.project.cache import Cache
from cnnspec.language.project.checking import Checked, Details, Result, Settings
from cnnspec.language.project.many import check_all

GOOD = "cnnspec: 1\ninput: [1, 8, 8]\nparams: {k: 3}\nlayers:\n  - conv: {channels: 2, kernel: $k}\n"
BAD = GOOD.replace("[1, 8, 8]", "[1, 2, 2]")


class Project:
    """A directory of specs that is checked with a cache; `checked` are those that the last run did not find there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CNNSPEC_CACHE", str(folder / "cache"))
        self.checked: list[str] = []
        original = many.check_one

        def counting(spec: str, settings: Settings) -> Result:
            self.checked.append(spec)
            return original(spec, settings)

        monkeypatch.setattr(many, "check_one", counting)

    def __call__(self, *specs: str, **settings: Any) -> list[Checked]:
        self.checked.clear()
        chosen = replace(Settings({}), **settings)
        found = check_all(specs, chosen, cache=Cache(chosen.key))
        assert found == check_all(specs, chosen, jobs=1), "the same as without a cache"
        del self.checked[len(self.checked) - len(specs) :]
        return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def of_batch(batch: int) -> Details:
    return partial(network_details, costs=CostOptions(batch), params={}, is_member=False)


def write(name: str, text: str) -> None:
    Path(name).write_text(text, "utf-8")


def test_unchanged_specs_are_not_checked_again(project: Project) -> None:
    write("a.yaml", GOOD)
    write("b.yaml", BAD)
    first = project("a.yaml", "b.yaml")
    assert project.checked == ["a.yaml", "b.yaml"]
    assert project("b.yaml", "a.yaml") == first[::-1]
    assert project.checked == []
    assert [result.ok for result in first] == [True, False]
    assert first[1].diagnostics[0].label.span.text == "$k"


def test_a_changed_text_is(project: Project) -> None:
    write("a.yaml", GOOD)
    write("b.yaml", GOOD)
    project("a.yaml", "b.yaml")
    write("b.yaml", BAD)
    assert not project("a.yaml", "b.yaml")[1].ok
    assert project.checked == ["b.yaml"]


@pytest.mark.parametrize("steps", [1, 2], ids=["base", "base of the base"])
def test_a_changed_base_is(project: Project, steps: int) -> None:
    write("base.yaml", GOOD)
    write("middle.yaml", "extends: base.yaml\n")
    write("a.yaml", f"extends: {'base' if steps == 1 else 'middle'}.yaml\nparams: {{k: 5}}\n")
    assert project("a.yaml")[0].ok
    write("base.yaml", BAD)
    assert not project("a.yaml")[0].ok


def test_a_base_that_appears_and_goes(project: Project) -> None:
    write("a.yaml", "extends: base.yaml\n")
    assert project("a.yaml")[0].diagnostics[0].code == "unreadable-file"
    write("base.yaml", GOOD)
    assert project("a.yaml")[0].ok
    assert project.checked == ["a.yaml"]
    Path("base.yaml").unlink()
    assert not project("a.yaml")[0].ok


def test_a_base_beside_takes_the_place_of_a_bundled_one(project: Project) -> None:
    write("a.yaml", "extends: lenet.yaml\n")
    assert project("a.yaml")[0].ok
    write("lenet.yaml", BAD)
    assert not project("a.yaml")[0].ok


def test_params_and_inputs_are_part_of_the_question(project: Project) -> None:
    write("a.yaml", GOOD)
    assert project("a.yaml")[0].ok
    assert not project("a.yaml", params={"k": 9})[0].ok
    assert not project("a.yaml", params={"k": True})[0].ok, "true is not 1"
    assert not project("a.yaml", input_shape=(1, 2, 2))[0].ok
    assert project("a.yaml")[0].ok
    assert project.checked == []


def test_details_are_those_of_their_options(project: Project) -> None:
    write("a.yaml", GOOD)

    def memory(batch: int) -> int:
        (result,) = project("a.yaml", details=of_batch(batch))
        count: int = result.details["totals"]["peak_activation_bytes"]
        return count

    assert memory(2) == 2 * memory(1)
    assert project("a.yaml")[0].details is None


@pytest.mark.parametrize("what", ["__version__", "_version", "_fingerprint"])
def test_another_version_checks_again(project: Project, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Of this package, of those that it uses, and of the files of plug-ins with layers."""
    write("a.yaml", GOOD)
    project("a.yaml")
    monkeypatch.setattr(module, what, "0.0.0" if what == "__version__" else lambda name: f"{name} 0.0.0")
    module._environment.cache_clear()
    try:
        project("a.yaml")
    finally:
        module._environment.cache_clear()
    assert project.checked == ["a.yaml"]


def test_a_changed_file_of_a_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "plugged"
    package.mkdir()
    file = package / "__init__.py"
    file.write_text("a = 1\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = module._fingerprint("plugged")
    file.write_text("a = 22\n", "utf-8")
    assert module._fingerprint("plugged") != before


def test_a_name_is_part_of_the_result(project: Project) -> None:
    """Messages hold the file's name."""
    write("a.yaml", BAD)
    write("b.yaml", BAD)
    places = [str(result.diagnostics[0].label.span) for result in project("a.yaml", "b.yaml")]
    assert [place.split(":")[0] for place in places] == ["a.yaml", "b.yaml"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "one byte": lambda content: content.replace(b"unknown-kind", b"unknown-kine"),
    "another form": lambda content: b"[1, 2]",
    "a link to nothing": lambda content: b"\x00" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_no_file(project: Project, damage: Callable[[bytes], bytes]) -> None:
    write("a.yaml", GOOD + "  - reluu\n")
    project("a.yaml")
    (file,) = Path("cache", "checks").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert project("a.yaml")[0].diagnostics[0].code == "unknown-kind"
    assert project.checked == ["a.yaml"]
    project("a.yaml")
    assert project.checked == []


def test_without_a_place_for_it_there_is_no_cache(project: Project) -> None:
    write("cache", "a file in place of the folder")
    write("a.yaml", GOOD)
    assert project("a.yaml")[0].ok
    assert project("a.yaml")[0].ok
    assert project.checked == ["a.yaml"]


def test_it_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    monkeypatch.setattr(module, "MAX_FILES", 3)
    for i in range(30):
        write(f"{i}.yaml", GOOD)
    project(*(f"{i}.yaml" for i in range(30)))
    (file,) = Path("cache", "checks").iterdir()
    assert 500 < len(file.read_bytes()) < 1100, "entries, and the checksum"
    for k in range(1, 7):
        project("0.yaml", params={"k": k})
    assert len([*Path("cache", "checks").iterdir()]) == 3


def test_writers_at_the_same_time(tmp_path: Path) -> None:
    """Several processes leave a whole file, and each prints the right result."""
    for i in range(8):
        (tmp_path / f"{i}.yaml").write_text(GOOD if i % 2 else BAD, "utf-8")
    command = [sys.executable, "-m", "cnnspec", "check", *(f"{i}.yaml" for i in range(8)), "--format", "gitlab"]
    environment = {**os.environ, "CNNSPEC_CACHE": str(tmp_path / "cache")}
    running = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    printed = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [1, 1, 1]
    (text,) = printed
    assert len(json.loads(text)) == 4
    (file,) = (tmp_path / "cache" / "checks").iterdir()
    assert len(module._read(file)) == 8


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{i}.yaml" for i in range(6)]
    for i, name in enumerate(names):
        write(name, GOOD if i % 2 else BAD)
    settings = Settings({}, details=of_batch(2))
    assert check_all(names, settings, jobs=2) == check_all(names, settings, jobs=1)


def test_what_cannot_be_read_is_looked_at_again(project: Project) -> None:
    assert not project("a.yaml")[0].ok
    write("a.yaml", GOOD)
    assert project("a.yaml")[0].ok


def details_of(report: Report, source: Source | None) -> str:
    """Details that are no partial function."""
    return report.name


def test_details_of_any_function(project: Project) -> None:
    write("a.yaml", GOOD)
    assert project("a.yaml", details=details_of)[0].details == "a"
    assert project("a.yaml", details=details_of)[0].details == "a"
    assert project.checked == []
