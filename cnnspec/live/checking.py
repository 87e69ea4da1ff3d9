"""A check of the watched spec, with the files that it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec import bundled
from cnnspec.diagnostics import Source
from cnnspec.language.files import open_base, place_beside
from cnnspec.language.load import Report, check_despite_expectations
from cnnspec.layers import Shape
from cnnspec.live.watcher import places


class Checked(NamedTuple):
    """The report of a check, and every file whose change may change it, whether it exists or not."""

    report: Report
    files: frozenset[Path]

    @property
    def may_be_unfinished(self) -> bool:
        """Whether a file is missing or empty, as it is for a moment where an editor is about to save it."""
        missing = any(d.code == "unreadable-file" for d in self.report.diagnostics)
        return missing or any(map(_is_empty, self.files))


def check_with_files(spec: str, params: Mapping[str, Any], input_shape: Shape | None) -> Checked:
    """Check a spec, and note which files that took; one that is only not as its author expects is there."""
    files = files_of(spec)

    def opener(name: str, extending: Source) -> Source:
        files.update(places(place_beside(name, extending)))
        base = open_base(name, extending)
        files.update(places(base.name))
        return base

    report = check_despite_expectations(spec, params=params, input_shape=input_shape, opener=opener)
    return Checked(report, frozenset(files))


def files_of(spec: str) -> set[Path]:
    """Return the files that the name of a spec may stand for."""
    found = places(spec)
    if (inside := bundled.find(spec)) is not None:
        found.add(inside)
    return found


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size == 0
    except OSError:
        return False
