"""What is in the wheel, and that it works where nothing of the checkout is."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

INSTALL = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    leave = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "tests", "benchmarks")
    shutil.copytree(ROOT, copy, ignore=leave)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", folder, copy],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_import_packages(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "cnnspec", "cnnspec_numpy", "cnnspec_torch",
    }  # fmt: skip
    assert not any("test_" in name or "conftest" in name or "__pycache__" in name for name in names)


def test_every_module_is_in(names: set[str]) -> None:
    """A new sub-package is easily forgotten in pyproject.toml."""
    for root in (ROOT, ROOT / "backends"):
        for package in ("cnnspec", "cnnspec_numpy", "cnnspec_torch"):
            for path in (root / package).rglob("*.py"):
                assert path.relative_to(root).as_posix() in names
    assert "cnnspec/py.typed" in names


def test_every_bundled_file_is_in(names: set[str]) -> None:
    """Specs, weights and samples."""
    bundled = {path.relative_to(ROOT).as_posix() for path in (ROOT / "specs").rglob("*.*") if path.suffix != ".py"}
    assert {f"cnnspec/{name}" for name in bundled} <= names
    assert "cnnspec/specs/lenet.yaml" in names
    assert "cnnspec/specs/textbook/cross_correlation.yaml" in names


def test_style_sheets_scripts_and_templates_are_in(names: set[str]) -> None:
    beside = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "cnnspec").rglob("*.*")
        if path.suffix in (".css", ".js", ".jinja")
    }
    assert "cnnspec/diagram/assets/diagram.js" in beside
    assert beside <= names


def test_entry_points(wheel: Path, names: set[str]) -> None:
    (place,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    found = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        found.read_string(archive.read(place).decode())
    assert dict(found["console_scripts"]) == {"cnnspec": "cnnspec.cli:main"}
    assert dict(found["cnnspec.backends"]) == {"numpy": "cnnspec_numpy:backend", "torch": "cnnspec_torch:backend"}


def test_license_and_readme_are_in(wheel: Path, names: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(place).decode()
    assert "Requires-Python: >=3.11" in metadata
    assert metadata.split("\n\n", 1)[1].strip(), "the README is the long description"


def test_installed_it_works_anywhere(wheel: Path, tmp_path: Path) -> None:
    """From an empty directory, with nothing but the wheel (and what it depends on) to import."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([*INSTALL, "--target", site, wheel], check=True, capture_output=True, text=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*args: str) -> str:
        command = [sys.executable, *args]
        result = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, encoding="utf-8")
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert Path(run("-c", "import cnnspec; print(cnnspec.__file__)").strip()).is_relative_to(site)
    assert run("-m", "cnnspec", "check", "lenet.yaml").startswith("lenet: every shape fits\n")
    assert "actual" in run("-m", "cnnspec", "run", "lenet.yaml")
    assert "1 passed" in run("-m", "cnnspec", "test", "cross_correlation", "--backend", "numpy")
    assert "lenet" in run("-m", "cnnspec", "specs")
