"""`cnnspec check --fix`: apply the fixes that are certain to the files."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cnnspec import atomic
from cnnspec.cli.common import error_line, painter, print_lines, show
from cnnspec.diagnostics import Paint, Source
from cnnspec.language.fixing import fix
from cnnspec.language.load import Report

_ROLES = {"+": "good", "-": "error", "@": "frame"}


def fix_files(specs: Sequence[str], params: Mapping[str, Any], *, dry_run: bool) -> list[Report]:
    """Fix files, print what has changed and what is left, and return the reports of the new texts."""
    paint = painter(sys.stdout)
    reports = []
    for spec in specs:
        path = Path(spec)
        if not path.is_file():
            why = "standard input" if spec == "-" else f"`{spec}`, which is no file here"
            error_line(f"--fix writes files, and cannot write {why}")
            sys.exit(2)
        before = path.read_bytes()
        fixed = fix(spec, params=params)
        after = fixed.source.text.encode("utf-8")
        if before.startswith(b"\xef\xbb\xbf"):
            after = b"\xef\xbb\xbf" + after
        count = len(fixed.fixes)
        if after != before:
            old = Source(spec, before.decode("utf-8-sig"))
            print_lines(_difference(old, fixed.source, paint))
            if not dry_run:
                atomic.write(path, after)
        done = "would be applied" if dry_run else "applied"
        show(fixed.report.diagnostics)
        left = len([d for d in fixed.report.diagnostics if d.severity == "error"])
        remaining = f", {left} error{'s' * (left != 1)} left" if left else ""
        click.echo(f"{spec}: {count} fix{'es' * (count != 1)} {done}{remaining}")
        reports.append(fixed.report)
    return reports


def _difference(before: Source, after: Source, paint: Paint) -> list[str]:
    """Return the unified difference of two texts, coloured."""
    lines = difflib.unified_diff(before.lines, after.lines, before.name, after.name, lineterm="")
    return [*(paint(line, _ROLES.get(line[:1], "")) for line in lines), ""]
