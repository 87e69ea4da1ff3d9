"""A Code Quality report of GitLab: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from cnnspec.diagnostics import Diagnostic
from cnnspec.language.project.checking import Checked
from cnnspec.view.formats.places import one_line, relative, unique

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}


def render(checked: Sequence[Checked]) -> str:
    """Return the report, a list with an object for each diagnostic."""
    seen: Counter[str] = Counter()
    return json.dumps([_issue(d, seen) for d in unique(checked)], ensure_ascii=False, indent=2) + "\n"


def _issue(d: Diagnostic, seen: Counter[str]) -> dict[str, object]:
    span = d.label.span
    return {
        "description": one_line(d),
        "check_name": d.code,
        "fingerprint": fingerprint(d, seen),
        "severity": _SEVERITIES[d.severity],
        "location": {
            "path": relative(span.source.name),
            "lines": {"begin": span.line, "end": span.end_line},
            "positions": {
                "begin": {"line": span.line, "column": span.column},
                "end": {"line": span.end_line, "column": span.end_column},
            },
        },
    }


def fingerprint(d: Diagnostic, seen: Counter[str]) -> str:
    """Return what identifies a diagnostic while its line moves: the file, the code and the text of the line.

    `seen` counts those that these have in common, which are told apart by their order.
    """
    span = d.label.span
    lines = span.source.lines
    text = lines[span.line - 1].strip() if span.line <= len(lines) else ""
    key = "\0".join([relative(span.source.name), d.code, text])
    seen[key] += 1
    return sha256(f"{key}\0{seen[key]}".encode("utf-8", "surrogatepass")).hexdigest()
