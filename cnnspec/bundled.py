"""The specs, weights and pictures that come with the package. `check` imports this: no NumPy here."""

from __future__ import annotations

from pathlib import Path

SPEC = ".yaml"
SHELVES = ("", "textbook/", "samples/")
"""Where a bare name is looked up, in this order."""


def folder() -> Path:
    """The folder of bundled files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


def names(suffix: str = SPEC) -> list[str]:
    """The names of all bundled files of a suffix, without it: `lenet`, `textbook/max_pooling`."""
    root = folder()
    return sorted(path.relative_to(root).as_posix().removesuffix(suffix) for path in root.rglob(f"*{suffix}"))


def find(name: str, suffix: str = SPEC) -> Path | None:
    """The bundled file of a name, with or without its suffix and its shelf; None where there is none."""
    known = names(suffix)
    wanted = name.removesuffix(suffix)
    found = next((shelf + wanted for shelf in SHELVES if shelf + wanted in known), None)
    return folder() / f"{found}{suffix}" if found else None
