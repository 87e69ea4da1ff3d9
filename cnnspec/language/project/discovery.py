"""Which files a command is about: paths, names of bundled specs, directories and patterns."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnspec.errors import DataError
from cnnspec.wording import quoted

SUFFIXES = (".yaml", ".yml")
_TOP_LEVEL_KEY = re.compile(rb"""^(\xef\xbb\xbf)?(["']?)(cnnspec|layers)\2\s*:""", re.MULTILINE)
_BASE = re.compile(rb"""^(\xef\xbb\xbf)?(["']?)extends\2\s*:\s*["']?[^\s"'#]+\.ya?ml\b""", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """The specs in the order in which they were named, and the YAML files that are none."""

    specs: tuple[str, ...]
    others: tuple[str, ...]
    has_directories: bool
    """Whether a directory or a pattern was among the names."""


def find_specs(names: Iterable[str], *, specs_only: bool = False) -> Found:
    """Return the specs that are meant: of a directory, every YAML file below it that is a spec.

    A file is a spec if `cnnspec` or `layers` is among its top-level keys, or `extends` with a YAML file; one that is
    named is taken to be a spec, or looked at as well with `specs_only`. Raise DataError for a directory without specs.
    """
    specs: dict[str, None] = {}
    others: dict[str, None] = {}
    has_directories = False
    for name in names:
        listed = _listed(name)
        has_directories = has_directories or listed is not None
        if listed is None and not (specs_only and Path(name).is_file()):
            specs[name] = None
            continue
        before = len(specs)
        for path in [name] if listed is None else listed:
            (specs if is_spec(Path(path)) else others)[path] = None
        if listed is not None and len(specs) == before and Path(name).is_dir():
            raise DataError(f"there is no spec in {quoted(name)}: no YAML file with the key `cnnspec` or `layers`")
    return Found(tuple(specs), tuple(others), has_directories)


def _listed(name: str) -> list[str] | None:
    """Return the YAML files of a directory or a pattern, sorted; None for any other name."""
    path = Path(name)
    try:
        if path.is_dir():
            return sorted(str(file) for file in _yaml_files(path))
        if any(mark in name for mark in "*?[") and not path.exists():
            return sorted(file for file in glob.glob(name, recursive=True) if Path(file).is_file()) or None  # noqa: PTH207
    except (OSError, ValueError):  # what cannot be a path is reported where it is read
        pass
    return None


def _yaml_files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files below a directory, without hidden ones."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _yaml_files(path)
        elif path.suffix in SUFFIXES and path.is_file():
            yield path


def is_spec(path: Path) -> bool:
    """Return whether a file has a top-level key of a spec; one that cannot be read counts, so that it is reported."""
    try:
        return holds_spec(path.read_bytes())
    except OSError:
        return True


def holds_spec(data: bytes) -> bool:
    """Return whether the text of a YAML file has a top-level key of a spec."""
    return _TOP_LEVEL_KEY.search(data) is not None or _BASE.search(data) is not None
