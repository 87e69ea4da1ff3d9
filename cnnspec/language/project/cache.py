"""Results of checks on disk, by content: they hold while every text, the version and the settings are the same.

A file for each combination of settings, so that a run reads one file and writes at most one. Each entry is found by the
spec's name and text, and counts only while each text that the spec extends is found again, unchanged. The file begins
with a checksum: one that is damaged is as good as none.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnspec import atomic
from cnnspec.diagnostics import Source, SpecError
from cnnspec.language.files import open_base, read_spec
from cnnspec.language.project.checking import Checked, Dependency, Result, digest
from cnnspec.language.project.stored import restore, sources_of, store
from cnnspec.machine import cache_folder
from cnnspec.version import __version__

FOLDER = "checks"
MAX_BYTES = 32 * 2**20
"""The most bytes of a file; entries that have not been used for longest are dropped first."""
MAX_FILES = 16
"""The most files; those that have not been written for longest are removed first."""


class Cache:
    """The results of checks with certain settings, given as text."""

    def __init__(self, settings: str) -> None:
        key = sha256("\0".join([*_environment(), settings]).encode("utf-8", "surrogatepass")).hexdigest()
        self.file = cache_folder() / FOLDER / f"{key[:32]}.json"
        self.entries = _read(self.file)
        self.used: dict[str, Any] = {}
        """The entries of this run."""
        self.is_changed = False

    def find(self, spec: str | Source) -> Checked | None:
        """Return the result for a spec; None where there is none, or something has changed."""
        try:
            source = read_spec(spec)
            key = digest(source)
            entry = self.entries[key]
            sources = {source.name: source}
            for dependency in entry["dependencies"]:
                base = _opened(Dependency(*dependency))
                if isinstance(base, Source):
                    sources[base.name] = base
            found = Checked(source.name, entry["name"], restore(entry["diagnostics"], sources), entry["details"])
        except (SpecError, KeyError, TypeError, ValueError):
            return None
        self.used[key] = entry
        return found

    def add(self, result: Result) -> None:
        """Remember a result; one that is about other texts than those that were read is not."""
        checked, source, dependencies = result
        if source is None:
            return
        about = {found.name for found in sources_of(checked.diagnostics)} - {source.name}
        if about and not about <= {found.name for found in map(_opened, dependencies) if isinstance(found, Source)}:
            return
        self.used[digest(source)] = {
            "dependencies": dependencies,
            "name": checked.name,
            "diagnostics": store(checked.diagnostics),
            "details": checked.details,
        }
        self.is_changed = True

    def save(self) -> None:
        """Write the results, if any is new; those that another process has written meanwhile are kept."""
        if not self.is_changed:
            return
        now = int(time.time())
        entries = _read(self.file) | {key: {**entry, "used": now} for key, entry in self.used.items()}
        room, lines = MAX_BYTES, []
        for key in sorted(entries, key=lambda key: -_used(entries[key])):
            line = f"{json.dumps(key)}: {json.dumps(entries[key], ensure_ascii=False)}".encode("utf-8", "surrogatepass")
            room -= len(line) + 2
            if room < 0:
                break
            lines.append(line)
        body = b"{" + b",\n".join(lines) + b"}"
        with contextlib.suppress(OSError):  # without a place for it, there is no cache
            self.file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self.file, sha256(body).hexdigest().encode() + b"\n" + body)
            _remove_old(self.file.parent)


def _opened(dependency: Dependency) -> Source | SpecError:
    """Return a text that a spec extends, or the error instead of it; raise ValueError where it has changed."""
    found: Source | SpecError
    try:
        found = open_base(dependency.name, Source(dependency.extending, ""))
    except SpecError as error:
        found = error
    if digest(found) != dependency.digest:
        raise ValueError(f"{dependency.name} has changed")
    return found


def _used(entry: Any) -> int:
    used = entry.get("used")
    return used if isinstance(used, int) else 0


def _read(file: Path) -> dict[str, Any]:
    """Return the entries of a file; none where it is damaged or is not there."""
    try:
        checksum, _, body = file.read_bytes().partition(b"\n")
        if sha256(body).hexdigest().encode() == checksum:
            entries: dict[str, Any] = json.loads(body)
            return entries
    except (OSError, ValueError):
        pass
    return {}


def _remove_old(folder: Path) -> None:
    files = sorted(folder.glob("*.json"), key=lambda file: -file.stat().st_mtime_ns)
    for file in files[MAX_FILES:]:
        file.unlink(missing_ok=True)


@cache
def _environment() -> tuple[str, ...]:
    """Return what a result depends on beside the spec: this package, those it uses, and the plug-ins with layers."""
    points = sorted((point.name, point.value) for point in entry_points(group="cnnspec.layers"))
    packages = sorted({"cnnspec", *(value.split(":")[0].split(".")[0] for _, value in points)})
    libraries = [f"{name} {_version(name)}" for name in ("pydantic", "pyyaml")]
    return (__version__, sys.version, str(points), *libraries, *map(_fingerprint, packages))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _fingerprint(package: str) -> str:
    """Return sizes and times of a package's files: those of an editable installation change with the same version."""
    found = find_spec(package)
    if found is None:
        return package
    folders = found.submodule_search_locations
    files = [*_files(*folders)] if folders else [found.origin or ""]
    stats = [(file, os.stat(file)) for file in sorted(files) if os.path.exists(file)]  # noqa: PTH110, PTH116
    return package + str([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])


def _files(*folders: str) -> Iterator[str]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            yield from (os.path.join(place, name) for name in names if name.endswith((".py", ".md", ".yaml")))  # noqa: PTH118
