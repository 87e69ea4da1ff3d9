"""The specs, weights and pictures that are part of the package. `check` imports this module: no NumPy here."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

SPEC = ".yaml"
SCHEMA = "cnnspec.schema.json"
"""The file of the JSON Schema of specs."""
MODELINE = "# yaml-language-server: $schema="
"""What tells an editor the schema of a file, by its path from there; the first line of every bundled spec."""
FOLDERS = ("", "textbook/", "samples/")
"""Where a bare name is looked up, in this order."""


@cache
def folder() -> Path:
    """Return the folder of bundled files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


def names(suffix: str = SPEC) -> list[str]:
    """Return the names of all bundled files of a suffix, without it: `lenet`, `textbook/max_pooling`."""
    root = folder()
    return sorted(path.relative_to(root).as_posix().removesuffix(suffix) for path in root.rglob(f"*{suffix}"))


def find(name: str, suffix: str = SPEC) -> Path | None:
    """Return the bundled file of a name, with or without its suffix and its folder; None where there is none."""
    wanted = name.removesuffix(suffix)
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", wanted):  # no way out of the folder
        return None
    candidates = (folder() / f"{parent}{wanted}{suffix}" for parent in FOLDERS)
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113  (never raises)
